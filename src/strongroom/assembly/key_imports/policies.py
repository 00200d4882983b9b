"""The key policy of an imported key: the source's, if its principals exist here."""

from typing import NamedTuple

import msgspec

from strongroom.arns import known_arn
from strongroom.errors import MalformedPolicyDocumentException
from strongroom.iam import MalformedPolicy, PolicyKind, accept_policy
from strongroom.key_exports.accounts import policy_for
from strongroom.key_exports.document import ExportedKey
from strongroom.keys.arns import KeyLocator, root_arn
from strongroom.keys.key_policy import MAX_POLICY_BYTES, default_policy, reformat
from strongroom.operations.named_principals import UnknownPrincipal, pin
from strongroom.store.subjects.identities import IdentityReader


class ImportedPolicy(NamedTuple):
    """A policy and the unique ids of the principals in it; ``problem`` says why it is the default one instead."""

    text: str
    pinned: tuple[tuple[str, str], ...] = ()
    problem: str = ""


def imported_policy(reader: IdentityReader, key: ExportedKey, source: str, target: KeyLocator) -> ImportedPolicy:
    """Return the policy that a key gets here, with the target's account in the place of the ``source`` account."""
    default = default_policy(root_arn(target.region, target.account))
    if key.policy is None:
        return ImportedPolicy(default, problem=f"its policy: {key.unread.get('Policy', 'it is not in the export')}")
    try:
        _require_size(key.policy)
        _require_no_other_region(key, target.region)
        return _accepted(reader, policy_for(key.policy, source, target.account))
    except RecursionError:
        return ImportedPolicy(default, problem="its policy: it is nested too deeply")
    except (MalformedPolicyDocumentException, ValueError) as error:
        return ImportedPolicy(default, problem=f"its policy: {error}")


def _require_size(text: str) -> None:
    if len(text.encode()) > MAX_POLICY_BYTES:
        raise MalformedPolicyDocumentException(f"it is larger than {MAX_POLICY_BYTES} bytes")


def _require_no_other_region(key: ExportedKey, region: str) -> None:
    """Refuse a policy that names the Region of its key, if that is another one: a Deny would not apply here."""
    source = known_arn(key.arn).region
    # Encoded again, it has no escapes.
    if source != region and source in msgspec.json.encode(msgspec.json.decode(key.policy or "")).decode():
        raise MalformedPolicyDocumentException(
            f"it names the Region {source}; change that in an export (--export, then --from), and import again"
        )


def _accepted(reader: IdentityReader, text: str) -> ImportedPolicy:
    _require_size(text)
    try:
        document = accept_policy(text, PolicyKind.RESOURCE)
    except MalformedPolicy as error:
        raise MalformedPolicyDocumentException(str(error)) from None
    unknown: list[str] = []
    for principal in document.principals:
        try:
            pin(reader, (principal,))
        except UnknownPrincipal:
            unknown.append(principal.value)
    if unknown:
        raise MalformedPolicyDocumentException(
            f"it names {', '.join(sorted(unknown))}, unknown here; make that, and import again"
        )
    return ImportedPolicy(reformat(text), pin(reader, document.principals))
