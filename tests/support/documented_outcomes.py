"""The outcome that AWS documents for a valid request, for every operation, kind of key and key state.

It shares no code with ``strongroom.keys.states``. The state matrix is that of the KMS Developer Guide, "Key states of
AWS KMS keys", with the guide's numbers; the rest is the KMS API Reference's. Where recorded calls show that AWS checks
the state first, or where the guide gives two outcomes, the state is expected to come first. Comments mark as
"ours" what AWS does not document: there, the service must do the same thing every time.
"""

from key_kinds import KeyKind
from valid_requests import SIGNING, RequestCase

_NOTES = {
    "1": "DisabledException: <arn> is disabled.",
    "3": "KMSInvalidStateException: <arn> is pending deletion.",
    "4": "KMSInvalidStateException: <arn> is not pending deletion.",
    "5": "KMSInvalidStateException: <arn> is pending import.",
    "6": "UnsupportedOperationException: <arn> origin is EXTERNAL which is not valid for this operation.",
    # 7: imported keys and those of custom key stores; 9: all but imported ones. Only the former are ever unavailable.
    "7": "UnsupportedOperationException: <arn> origin is AWS_CLOUDHSM which is not valid for this operation.",
    "9": "UnsupportedOperationException: <arn> origin is AWS_CLOUDHSM which is not valid for this operation.",
    "11": "KMSInvalidStateException: <arn> is unavailable.",
    "14": "KMSInvalidStateException: <arn> is creating.",
    "15": "KMSInvalidStateException: <arn> is updating.",
}
_COLUMNS = ("Enabled", "Disabled", "PendingDeletion", "PendingImport", "Unavailable", "Creating", "Updating")
# Some cells of the guide are empty or not applicable; these are ours: GetPublicKey, ReplicateKey and
# UpdatePrimaryRegion of unavailable keys, RotateKeyOnDemand of keys that are creating or updating.
# GetPublicKey of disabled keys: the guide refuses it, though AWS is reported to allow it.
# GetKeyRotationStatus of imported keys: 6 in the guide of 2023; imported symmetric keys can be rotated since 2025.
# fmt: off
_MATRIX = {
    #                             Enabled Disabled Deletion Import Unavailable Creating Updating
    "GetPublicKey":              "ok      1        3        5      11          14       ok",
    "TagResource":               "ok      ok       3        ok     ok          ok       ok",
    "UntagResource":             "ok      ok       3        ok     ok          ok       ok",
    "UpdateKeyDescription":      "ok      ok       3        ok     ok          ok       ok",
    "CreateAlias":               "ok      ok       3        ok     ok          ok       ok",
    "UpdateAlias to":            "ok      ok       3        ok     ok          ok       ok",
    "UpdateAlias from":          "ok      ok       ok       ok     ok          ok       ok",
    "EnableKey":                 "ok      ok       3        5      ok          14       15",
    "DisableKey":                "ok      ok       3        5      ok          14       15",
    "ScheduleKeyDeletion":       "ok      ok       3        ok     ok          ok       15",
    "CancelKeyDeletion":         "4       4        ok       4      4           4        4",
    "CreateGrant":               "ok      1        3        5      ok          14       ok",
    "EnableKeyRotation":         "ok      1        3        6      7           14       ok",
    "DisableKeyRotation":        "ok      1        3        6      7           14       ok",
    "GetKeyRotationStatus":      "ok      ok       ok       ok     7           ok       ok",
    "RotateKeyOnDemand":         "ok      1        3        5      7           14       15",
    "GetParametersForImport":    "ok      ok       3        ok     9           14       15",
    "ImportKeyMaterial":         "ok      ok       3        ok     9           14       ok",
    "DeleteImportedKeyMaterial": "ok      ok       ok       ok     9           14       15",
    "ReplicateKey":              "ok      1        3        5      11          14       15",
    "UpdatePrimaryRegion":       "ok      1        3        5      11          14       ok",
}
_CRYPTOGRAPHY =                  "ok      1        3        5      11          14       ok"
# fmt: on
_READS = frozenset(
    {
        *("DescribeKey", "GetKeyLastUsage", "GetKeyPolicy", "PutKeyPolicy", "RetireGrant", "RevokeGrant"),
        *("ListKeyPolicies", "ListResourceTags", "ListKeyRotations", "ListAliases", "ListGrants", "DeleteAlias"),
    }
)
"""Allowed in every key state, according to the guide: all reads, and a few changes."""

USAGE_OF = {
    **dict.fromkeys(("Encrypt", "Decrypt", "ReEncrypt"), "ENCRYPT_DECRYPT"),
    **dict.fromkeys(("GenerateDataKey", "GenerateDataKeyWithoutPlaintext"), "ENCRYPT_DECRYPT"),
    **dict.fromkeys(("GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext"), "ENCRYPT_DECRYPT"),
    **dict.fromkeys(("Sign", "Verify"), "SIGN_VERIFY"),
    **dict.fromkeys(("GenerateMac", "VerifyMac"), "GENERATE_VERIFY_MAC"),
    "DeriveSharedSecret": "KEY_AGREEMENT",
    **dict.fromkeys(("Encapsulate", "Decapsulate"), "ENCAPSULATE_DECAPSULATE"),
}
"""Cryptographic operation → key usage that it needs (KMS API Reference, InvalidKeyUsageException)."""

ALGORITHM_OF = {
    **dict.fromkeys(("Encrypt", "Decrypt"), "EncryptionAlgorithm"),
    **dict.fromkeys(("Sign", "Verify"), "SigningAlgorithm"),
    **dict.fromkeys(("GenerateMac", "VerifyMac"), "MacAlgorithm"),
}
"""Operation → member of its request that names the algorithm, where a usage has several."""

_NO_MESSAGE = "UnsupportedOperationException"
_INCORRECT_KEY = (
    "IncorrectKeyException: The key ID in the request does not identify a CMK that can perform this operation."
)
_NOT_PRIMARY = "UnsupportedOperationException: <arn> is not a multi-region primary key."


def documented(asked: RequestCase, kind: KeyKind, state: str) -> str:
    """Return ``ok``, or the code and message of the error, with ``<arn>`` in place of the key's ARN."""
    column = _COLUMNS.index("PendingDeletion" if state == "PendingReplicaDeletion" else state)
    name = asked.operation
    if name in _READS:
        return "ok"
    row = _CRYPTOGRAPHY if name in USAGE_OF else _MATRIX.get(name) or _MATRIX[str(asked)]
    cell = row.split()[column]
    if cell != "ok":
        return _NOTES[cell]
    if name in USAGE_OF:
        return _by_usage(asked, kind)
    rule = _RULES.get(name)
    return "ok" if rule is None else rule(kind)


def algorithms_of(kind: KeyKind) -> set[str]:
    """Return the algorithms of a kind of key. Source: KMS Developer Guide, "Key spec reference"."""
    if kind.spec.startswith("RSA") and kind.usage == "SIGN_VERIFY":
        return {f"RSASSA_{how}_SHA_{size}" for how in ("PSS", "PKCS1_V1_5") for size in (256, 384, 512)}
    if kind.spec.startswith("RSA"):
        return {"RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"}
    if kind.spec == "ECC_NIST_EDWARDS25519":
        return {"ED25519_SHA_512", "ED25519_PH_SHA_512"}
    return {"SYMMETRIC_DEFAULT"} if kind.symmetric else {SIGNING.get(kind.spec) or f"HMAC_SHA_{kind.spec[-3:]}"}


def _by_usage(asked: RequestCase, kind: KeyKind) -> str:
    name = asked.operation
    if kind.usage != USAGE_OF[name]:
        if name == "Decrypt" or str(asked) == "ReEncrypt from":
            return _INCORRECT_KEY
        return f"InvalidKeyUsageException: <arn> key usage is {kind.usage} which is not valid for {name}."
    if name.startswith("GenerateDataKey") and not kind.symmetric:
        # The wording is ours.
        return f"InvalidKeyUsageException: <arn> key spec is {kind.spec} which is not valid for {name}."
    return "ok"


def _public_key_rule(kind: KeyKind) -> str:
    # AWS declares two exceptions for this case. The choice and the wording are ours.
    if kind.symmetric or kind.hmac:
        return f"UnsupportedOperationException: <arn> key spec is {kind.spec} which is not valid for GetPublicKey."
    return "ok"


def _set_rotation_rule(kind: KeyKind) -> str:
    # Rotation of related keys is set on the primary. The order of the three checks is ours.
    if kind.family == "replica":
        return _NOT_PRIMARY
    if kind.origin == "EXTERNAL":
        return _NOTES["6"]
    return "ok" if kind.symmetric else _NO_MESSAGE


def _rotate_rule(kind: KeyKind) -> str:
    # The order of the first two checks is ours.
    if kind.family == "replica":
        return _NOT_PRIMARY
    if not kind.symmetric:
        return _NO_MESSAGE
    if kind.origin == "EXTERNAL":
        return "KMSInvalidStateException: No available key material pending rotation for the key: <arn>."
    return "ok"


def _import_rule(kind: KeyKind) -> str:
    return "ok" if kind.origin == "EXTERNAL" else _NOTES["6"].replace("EXTERNAL", kind.origin)


def _replicate_rule(kind: KeyKind) -> str:
    if kind.family in {"single", "replica"}:
        return _NOT_PRIMARY
    # The wording is ours.
    return "ok" if kind.family == "primary" else "AlreadyExistsException: Key <arn in eu-west-1> already exists."


def _update_primary_rule(kind: KeyKind) -> str:
    if kind.family in {"single", "replica"}:
        return _NOT_PRIMARY
    return "ok" if kind.family == "replicated" else "NotFoundException: Key '<arn in eu-west-1>' does not exist"


_RULES = {
    "GetPublicKey": _public_key_rule,
    "EnableKeyRotation": _set_rotation_rule,
    "DisableKeyRotation": _set_rotation_rule,
    "RotateKeyOnDemand": _rotate_rule,
    "GetParametersForImport": _import_rule,
    "ImportKeyMaterial": _import_rule,
    "DeleteImportedKeyMaterial": _import_rule,
    "ReplicateKey": _replicate_rule,
    "UpdatePrimaryRegion": _update_primary_rule,
}
