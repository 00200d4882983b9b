"""The key state matrix: which operation is allowed in which state, and how AWS refuses the others.

Source: KMS Developer Guide, "Key states of AWS KMS keys". The table below is the guide's, one row per class of
operations; every cell is either ``ok`` or the name of a refusal. Authorization comes before this check.
"""

from enum import StrEnum

from strongroom.errors import DisabledException, KmsError, KMSInvalidStateException, UnsupportedOperationException


class KeyState(StrEnum):
    """The state of a KMS key, as DescribeKey reports it."""

    ENABLED = "Enabled"
    DISABLED = "Disabled"
    PENDING_DELETION = "PendingDeletion"
    PENDING_REPLICA_DELETION = "PendingReplicaDeletion"
    PENDING_IMPORT = "PendingImport"
    UNAVAILABLE = "Unavailable"
    CREATING = "Creating"
    UPDATING = "Updating"


class StateRule(StrEnum):
    """A class of operations that the matrix treats alike."""

    USE = "use"
    """Every cryptographic operation."""
    PUBLISH = "publish"
    """GetPublicKey."""
    READ = "read"
    """DescribeKey, Get*, List*, PutKeyPolicy, RetireGrant, RevokeGrant, DeleteAlias."""
    ANNOTATE = "annotate"
    """TagResource, UntagResource, UpdateKeyDescription, CreateAlias; UpdateAlias for its new target."""
    SWITCH = "switch"
    """EnableKey, DisableKey."""
    SCHEDULE_DELETION = "schedule deletion"
    CANCEL_DELETION = "cancel deletion"
    SET_ROTATION = "set rotation"
    """EnableKeyRotation, DisableKeyRotation."""
    ROTATE = "rotate"
    """RotateKeyOnDemand."""
    GRANT = "grant"
    """CreateGrant."""
    PREPARE_IMPORT = "prepare import"
    """GetParametersForImport."""
    IMPORT = "import"
    """ImportKeyMaterial."""
    DELETE_MATERIAL = "delete material"
    """DeleteImportedKeyMaterial."""
    REPLICATE = "replicate"
    """ReplicateKey."""
    MOVE_PRIMARY = "move primary"
    """UpdatePrimaryRegion, for the old primary and the new one."""


_REFUSALS: dict[str, tuple[type[KmsError], str]] = {
    "disabled": (DisabledException, "{} is disabled."),
    "deleting": (KMSInvalidStateException, "{} is pending deletion."),
    "importing": (KMSInvalidStateException, "{} is pending import."),
    "unavailable": (KMSInvalidStateException, "{} is unavailable."),
    "creating": (KMSInvalidStateException, "{} is creating."),
    "updating": (KMSInvalidStateException, "{} is updating."),
    # Only keys of origin EXTERNAL can be pending import.
    "origin": (UnsupportedOperationException, "{} origin is EXTERNAL which is not valid for this operation."),
    "kept": (KMSInvalidStateException, "{} is not pending deletion."),
}

_COLUMNS = (
    KeyState.ENABLED,
    KeyState.DISABLED,
    KeyState.PENDING_DELETION,
    KeyState.PENDING_IMPORT,
    KeyState.UNAVAILABLE,
    KeyState.CREATING,
    KeyState.UPDATING,
)

# fmt: off
_ROWS: dict[StateRule, str] = {
    #                             Enabled  Disabled  Deleting   Importing  Unavailable  Creating  Updating
    StateRule.USE:               "ok       disabled  deleting   importing  unavailable  creating  ok",
    StateRule.PUBLISH:           "ok       disabled  deleting   importing  unavailable  creating  ok",
    StateRule.READ:              "ok       ok        ok         ok         ok           ok        ok",
    StateRule.ANNOTATE:          "ok       ok        deleting   ok         ok           ok        ok",
    StateRule.SWITCH:            "ok       ok        deleting   importing  ok           creating  updating",
    StateRule.SCHEDULE_DELETION: "ok       ok        deleting   ok         ok           ok        updating",
    StateRule.CANCEL_DELETION:   "kept     kept      ok         kept       kept         kept      kept",
    # Keys that can be unavailable are those of custom key stores, refused by what rotates and imports for their origin.
    StateRule.SET_ROTATION:      "ok       disabled  deleting   origin     ok           creating  ok",
    StateRule.GRANT:             "ok       disabled  deleting   importing  ok           creating  ok",
    StateRule.ROTATE:            "ok       disabled  deleting   importing  ok           creating  updating",
    StateRule.PREPARE_IMPORT:    "ok       ok        deleting   ok         ok           creating  updating",
    StateRule.IMPORT:            "ok       ok        deleting   ok         ok           creating  ok",
    StateRule.DELETE_MATERIAL:   "ok       ok        ok         ok         ok           creating  updating",
    StateRule.REPLICATE:         "ok       disabled  deleting   importing  unavailable  creating  updating",
    StateRule.MOVE_PRIMARY:      "ok       disabled  deleting   importing  unavailable  creating  ok",
}
# fmt: on


def _matrix() -> dict[tuple[StateRule, KeyState], str]:
    cells = {
        (rule, state): outcome
        for rule, row in _ROWS.items()
        for state, outcome in zip(_COLUMNS, row.split(), strict=True)
    }
    for rule in StateRule:
        cells[rule, KeyState.PENDING_REPLICA_DELETION] = cells[rule, KeyState.PENDING_DELETION]
    return cells


MATRIX = _matrix()
"""(rule, state) → ``ok`` or the name of a refusal."""


ALLOWED = {rule: frozenset(state for state in KeyState if MATRIX[rule, state] == "ok") for rule in StateRule}
"""Rule → the states in which a key may be the object of such an operation."""


def require_state(rule: StateRule, state: KeyState, arn: str) -> None:
    """Refuse an operation that the key's state does not allow.

    Raises DisabledException or KMSInvalidStateException, worded as AWS does with the key's ARN.
    """
    outcome = MATRIX[rule, state]
    if outcome != "ok":
        refusal, wording = _REFUSALS[outcome]
        raise refusal(wording.format(arn))
