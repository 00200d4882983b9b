"""Gives a KMS key whose policy lets no one change it the default policy again, as AWS Support would."""

from msgspec.structs import replace

from strongroom.assembly.command_trail import CommandTrail
from strongroom.assembly.data_folder import DataFolderError
from strongroom.audit.operator_events import KEY_SOURCE, OperatorEvent
from strongroom.keys.arns import KeyLocator, locator_of, root_arn
from strongroom.keys.key_policy import default_policy
from strongroom.keys.kms_key import KmsKey
from strongroom.keys.specs import KeyManager
from strongroom.store.protocol import Reader, Store, Transaction
from strongroom.store.scopes import KeyScope


class KeyPolicies:
    """The key policies of an opened data folder."""

    def __init__(self, store: Store, trail: CommandTrail) -> None:
        self._store = store
        self._trail = trail

    def reset(self, arn: str) -> str:
        """Replace the policy of a key by the default one, which trusts the account; return the earlier policy.

        The audit record has the earlier policy, too. Raises DataFolderError if there is no such key, or if it is an AWS
        managed key, whose policy is fixed.
        """
        try:
            locator = locator_of(arn)
        except ValueError:
            raise DataFolderError(f"`{arn}` is not the ARN of a KMS key") from None
        policy = default_policy(root_arn(locator.region, locator.account))

        def change(transaction: Transaction) -> None:
            before = _require_customer_key(transaction, locator, arn)
            transaction.save_key(before, replace(before, policy=policy, pinned=()))

        with self._trail.changing():
            with self._store.read() as reader:
                earlier = _require_customer_key(reader, locator, arn).policy
            event = OperatorEvent(
                name="ResetKeyPolicy",
                command="key reset-policy",
                source=KEY_SOURCE,
                account=locator.account,
                details={"keyArn": arn, "earlierPolicy": earlier},
            )
            with self._trail.recording(event):
                self._store.write(change, KeyScope(locator.account, locator.key_id))
        return earlier


def _require_customer_key(reader: Reader, locator: KeyLocator, arn: str) -> KmsKey:
    key = reader.key(locator)
    if key is None or key.arn != arn:
        raise DataFolderError(f"there is no KMS key `{arn}`")
    if key.manager is not KeyManager.CUSTOMER:
        raise DataFolderError(f"`{arn}` is an AWS managed key, whose policy is fixed")
    return key
