"""Lists accounts, and gives an account a new root access key: for one who has none that works, or wants another.

Also while the server runs. What else can lock an operator out, and the way back, is in docs/running.md.
"""

from pathlib import Path

import msgspec

from strongroom.assembly.command_trail import CommandTrail
from strongroom.assembly.credentials import (
    CredentialsFileError,
    add_profile,
    has_profile,
    is_of_user,
    long_term_keys,
)
from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.assembly.registrar import access_key_record, remove_useless_profile
from strongroom.audit.operator_events import OperatorEvent
from strongroom.clock import Clock
from strongroom.crypto.access_keys import NewAccessKey, new_access_key
from strongroom.crypto.domain_keys import IAM_SCOPE
from strongroom.crypto.service_secrets import ServiceSecrets
from strongroom.entropy import Entropy
from strongroom.errors import QuarantinedIdentityException
from strongroom.keys.arns import root_arn
from strongroom.store.protocol import Reader, Store, Transaction
from strongroom.store.quarantine import printable
from strongroom.store.records import AccessKeyRecord, AccountRecord
from strongroom.store.scopes import AccountScope

MOST_ROOT_KEYS = 2
"""The most access keys that a root user may have, as on AWS."""

_FIRST_PROFILE = "default"
_ANY_REGION = "us-east-1"


class AccountSummary(msgspec.Struct, frozen=True):
    """An account, its root access keys (oldest first), and the profile and the file that are for them."""

    record: AccountRecord
    profile: str
    file: Path
    keys: list[AccessKeyRecord]


class NewRootKey(msgspec.Struct, frozen=True):
    """A root access key that was made: its profile, and the keys that the account had before."""

    access_key_id: str
    profile: str
    file: Path
    before: list[AccessKeyRecord]
    kept_as: str | None
    """The name that the profile's earlier content has now, None if it had none that is of use."""


def accounts_by_profile(accounts: list[AccountRecord]) -> dict[str, AccountRecord]:
    """Return accounts by the profile that their root access key has: ``default`` for the first, their id for others."""
    ordered = sorted(accounts, key=lambda each: (each.created_at, each.account))
    return {_FIRST_PROFILE if number == 0 else each.account: each for number, each in enumerate(ordered)}


class RootKeys:
    """The root access keys of the accounts in an opened data folder."""

    def __init__(
        self,
        folder: DataFolder,
        store: Store,
        secrets: ServiceSecrets,
        clock: Clock,
        entropy: Entropy,
        trail: CommandTrail,
    ) -> None:
        self._folder = folder
        self._store = store
        self._secrets = secrets
        self._clock = clock
        self._entropy = entropy
        self._trail = trail

    def accounts(self) -> list[AccountSummary]:
        """List the accounts, the first one first."""
        with self._store.read() as reader:
            found = accounts_by_profile(reader.accounts())
            roots = {record.account: _root_of(reader, record.account) for record in found.values()}
            return [
                AccountSummary(
                    record,
                    profile,
                    self._file_for(reader, profile, roots[record.account]),
                    reader.access_keys(record.account, roots[record.account]),
                )
                for profile, record in found.items()
            ]

    def create(self, account: str, *, replace: bool = False, deactivate: bool = False) -> NewRootKey:
        """Make a root access key for an account, written into ``credentials`` as the account's profile.

        If the access key that the profile has is not the root's, it stays, and the file is ``root-credentials``.

        ``replace`` deletes the ones it has, also quarantined ones; ``deactivate`` deactivates them. An earlier content
        of the profile is kept under another name unless its access key does not exist (any more). Raises
        DataFolderError if there is no such account, or if it has two root access keys that are not replaced.
        """
        with self._trail.changing():
            with self._store.read() as reader:
                profile = _profile_of(reader, account)
                before = reader.access_keys(account, root := _root_of(reader, account))
                ids = reader.access_key_ids(account, root)
                file = self._file_for(reader, profile, root)
                kept_as = self._earlier_profile(reader, file, profile)
            if not replace and len(ids) >= MOST_ROOT_KEYS:
                raise _too_many(account, ids, before)
            key = new_access_key("AKIA", self._entropy, account)
            record = access_key_record(self._secrets, key, account, root, self._clock.now())
            done = "deleted" if replace else "deactivated"
            others = ids if replace else [each.access_key_id for each in before] if deactivate else []
            event = OperatorEvent(
                name="CreateRootAccessKey",
                command="account root-key",
                account=account,
                details={
                    "accountId": account,
                    "accessKeyId": key.access_key_id,
                    f"{done}AccessKeyIds": [*map(printable, others)],
                },
            )
            with self._trail.recording(event):
                self._change(record, key, (file, profile), kept_as, replace=replace, deactivate=deactivate)
            if replace and kept_as is not None and remove_useless_profile(file, kept_as):
                kept_as = None
        return NewRootKey(key.access_key_id, profile, file, before, kept_as)

    def _change(
        self,
        record: AccessKeyRecord,
        key: NewAccessKey,
        place: tuple[Path, str],
        kept_as: str | None,
        *,
        replace: bool,
        deactivate: bool,
    ) -> None:
        def add(transaction: Transaction) -> None:
            if replace:
                transaction.remove_access_keys(record.account, record.principal)
            before = transaction.access_keys(record.account, record.principal)
            for each in before:
                if deactivate and each.active:
                    transaction.set_access_key_active(each, active=False)
            if not transaction.add_access_key(record, MOST_ROOT_KEYS):
                ids = transaction.access_key_ids(record.account, record.principal)
                raise _too_many(record.account, ids, before)

        # The file is written first, and loses nothing yet: a kill in between costs no access key that works.
        file, profile = place
        add_profile(file, profile, key, kept_as)
        self._store.write(add, AccountScope(record.account))

    def _file_for(self, reader: Reader, profile: str, root: str) -> Path:
        """Return the file for the root access keys of an account: another one if its profile is an administrator's.

        That is so also after the administrator's access key was deleted.
        """
        try:
            if is_of_user(self._folder.credentials, profile):
                return self._folder.root_credentials
            present = long_term_keys(self._folder.credentials).get(profile)
            record = None if present is None else reader.access_key(present.access_key_id)
        except (CredentialsFileError, QuarantinedIdentityException):
            return self._folder.credentials
        is_of_another = record is not None and record.principal != root
        return self._folder.root_credentials if is_of_another else self._folder.credentials

    def _earlier_profile(self, reader: Reader, path: Path, profile: str) -> str | None:
        """Return a name under which to keep what a profile has now; None if it has nothing of use.

        Raises DataFolderError if the file cannot be read, so that it is not overwritten.
        """
        try:
            earlier = long_term_keys(path).get(profile)
            if earlier is None:
                return f"{profile}-before" if has_profile(path, profile) else None
        except CredentialsFileError as error:
            raise DataFolderError(f"{error}; repair it or move it away, and run this again") from None
        try:
            is_known = reader.access_key(earlier.access_key_id) is not None
        except QuarantinedIdentityException:
            # It works again if its record is restored.
            is_known = True
        return f"{profile}-{earlier.access_key_id}" if is_known else None


def _profile_of(reader: Reader, account: str) -> str:
    for profile, record in accounts_by_profile(reader.accounts()).items():
        if record.account == account:
            return profile
    raise DataFolderError(f"there is no account {account}; to list them, run: strongroom account list")


def _root_of(reader: Reader, account: str) -> str:
    """Return the ARN of an account's root, in the partition of the Regions that the server has served."""
    region = next((sealed.scope for sealed in reader.domain_keys() if sealed.scope != IAM_SCOPE), _ANY_REGION)
    return root_arn(region, account)


def _too_many(account: str, ids: list[str], intact: list[AccessKeyRecord]) -> DataFolderError:
    states = {each.access_key_id: "active" if each.active else "inactive" for each in intact}
    shown = ", ".join(f"{printable(each)} ({states.get(each, 'failed authentication')})" for each in ids)
    return DataFolderError(
        f"account {account} has {MOST_ROOT_KEYS} root access keys, the most there can be: {shown}; delete one with "
        f"iam delete-access-key, or all of them with: strongroom account root-key {account} --replace"
    )
