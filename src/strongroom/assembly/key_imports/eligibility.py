"""Which exported keys can be imported. Pure."""

from strongroom.arns import parse_arn
from strongroom.errors import KmsError
from strongroom.key_exports.document import ExportedKey
from strongroom.keys.arns import MULTI_REGION_PREFIX, KeyIdForms, parse_key_id
from strongroom.keys.specs import KeyManager, Origin
from strongroom.keys.states import KeyState

_STATES = frozenset({KeyState.ENABLED, KeyState.DISABLED, KeyState.PENDING_IMPORT})
_ORIGINS = frozenset({Origin.AWS_KMS, Origin.EXTERNAL})


def why_not(key: ExportedKey, account: str, region: str) -> str | None:
    """Return why a key cannot be imported into an account and Region, or None if it can."""
    if key.key_manager is KeyManager.AWS:
        return "it is an AWS managed key: its service makes one here when it needs one"
    if key.key_state not in _STATES:
        return f"it is {key.key_state}: import it once it is Enabled or Disabled"
    if key.origin not in _ORIGINS:
        return f"its Origin is {key.origin}: create it in a custom key store here"
    if key.multi_region_key_type == "REPLICA":
        primary_arn = parse_arn(key.primary_arn)
        primary = "its primary Region" if primary_arn is None else primary_arn.region
        return (
            "it is a replica, which has the material of its primary and must not get material of its own: "
            f"import the primary from {primary}, then make the replica with ReplicateKey"
        )
    return _why_not_its_id(key, account, region)


def _why_not_its_id(key: ExportedKey, account: str, region: str) -> str | None:
    if key.key_id.startswith(MULTI_REGION_PREFIX) != (key.multi_region_key_type == "PRIMARY"):
        return "its key id and its multi-Region configuration contradict each other"
    try:
        parse_key_id(key.key_id, account, region, KeyIdForms.KEY_ONLY)
    except KmsError:
        return f"`{key.key_id}` is not a key id as AWS makes them"
    return None
