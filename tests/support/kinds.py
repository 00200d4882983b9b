"""Every kind of KMS key there is, and keys of each: made by real calls, and put into every state.

The tables of this page come from the KMS Developer Guide ("Key spec reference", "Key states of AWS KMS keys",
"Importing key material"), not from the service.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from msgspec.structs import replace
from typing_extensions import override

from importing import entropy, private_key, wrapped
from local_deployment import LocalDeployment
from strongroom.keys.arns import KeyLocator
from strongroom.keys.kms_key import KmsKey
from strongroom.keys.specs import Origin
from strongroom.keys.states import KeyState

EAST, WEST = "us-east-1", "eu-west-1"

USAGES: dict[str, tuple[str, ...]] = {
    "SYMMETRIC_DEFAULT": ("ENCRYPT_DECRYPT",),
    **dict.fromkeys(("RSA_2048", "RSA_3072", "RSA_4096"), ("ENCRYPT_DECRYPT", "SIGN_VERIFY")),
    **dict.fromkeys(("ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521"), ("SIGN_VERIFY", "KEY_AGREEMENT")),
    **dict.fromkeys(("ECC_SECG_P256K1", "ECC_NIST_EDWARDS25519"), ("SIGN_VERIFY",)),
    **dict.fromkeys(("HMAC_224", "HMAC_256", "HMAC_384", "HMAC_512"), ("GENERATE_VERIFY_MAC",)),
    **dict.fromkeys(("ML_DSA_44", "ML_DSA_65", "ML_DSA_87"), ("SIGN_VERIFY",)),
    **dict.fromkeys(("ML_KEM_512", "ML_KEM_768", "ML_KEM_1024"), ("ENCAPSULATE_DECAPSULATE",)),
}
"""What a key of each spec can be for. SM2 is for China Regions."""
STATES = (
    *("Enabled", "Disabled", "PendingDeletion", "PendingReplicaDeletion", "PendingImport"),
    *("Unavailable", "Creating", "Updating"),
)


class Kind(msgspec.Struct, frozen=True):
    """What a key is from birth. ``family``: whether it is alone in the world.

    A ``primary`` has no replica yet, a ``replicated`` one has one in eu-west-1, which is where a ``replica`` has its
    primary.
    """

    spec: str
    usage: str
    origin: str = "AWS_KMS"
    family: str = "single"

    @override
    def __str__(self) -> str:
        return f"{self.family} {self.spec} {self.usage} {self.origin}"

    @property
    def symmetric(self) -> bool:
        """Whether it is a symmetric encryption key."""
        return self.spec == "SYMMETRIC_DEFAULT"

    @property
    def hmac(self) -> bool:
        """Whether it is an HMAC key."""
        return self.spec.startswith("HMAC")

    @property
    def importable(self) -> bool:
        """Whether the material of such keys can be imported."""
        return not self.spec.startswith("ML_")

    def states(self) -> Iterator[str]:
        """Yield the states that such a key can be in.

        A primary with replicas waits for them before it is pending deletion. Only imported material can be missing.
        Only keys in custom key stores are ever unavailable. Of most specs, keys with relatives are seen in that one
        state alone.
        """
        if self.family == "replicated" and self.spec not in _RELATED:
            yield "PendingReplicaDeletion"
            return
        unknown = {"PendingReplicaDeletion" if self.family != "replicated" else "PendingDeletion"}
        if self.origin != "EXTERNAL":
            unknown.add("PendingImport")
        if self.family != "single" or self.origin != "AWS_KMS":
            unknown.add("Unavailable")
        yield from (state for state in STATES if state not in unknown)


def kinds() -> list[Kind]:
    """Return every spec with every usage and of every origin; and multi-Region keys, of fewer kinds.

    RSA keys are slow to make: the large ones are imported, or have relatives, in one usage only.
    """
    alone = [Kind(spec, usage) for spec, usages in USAGES.items() for usage in usages]
    once = [kind for kind in alone if kind.spec not in {"RSA_3072", "RSA_4096"} or kind.usage == "SIGN_VERIFY"]
    imported = [replace(kind, origin="EXTERNAL") for kind in once if kind.importable]
    related = [kind for kind in (*once, *imported) if kind.spec in _RELATED]
    return [
        *(alone + imported),
        *(replace(kind, family="replicated") for kind in dict.fromkeys([*once, *related])),
        *(replace(kind, family=family) for family in ("primary", "replica") for kind in related),
    ]


_RELATED = frozenset({"SYMMETRIC_DEFAULT", "HMAC_256", "ECC_NIST_EDWARDS25519", "ML_KEM_768"})


class MadeKey(msgspec.Struct):
    """A key of some kind in us-east-1. ``imports`` is what ImportKeyMaterial takes to import its material again."""

    kind: Kind
    key_id: str
    arn: str
    imports: dict[str, Any] | None = None


class KeyMaker:
    """Makes keys on a local, and moves them from state to state."""

    def __init__(self, local: LocalDeployment) -> None:
        self.local = local
        self._materials: dict[str, bytes] = {}

    def make(self, kind: Kind) -> MadeKey:
        """Make an enabled key."""
        home = WEST if kind.family == "replica" else EAST
        request = {"KeySpec": kind.spec, "KeyUsage": kind.usage, "Origin": kind.origin}
        metadata = self.local.call("CreateKey", region=home, MultiRegion=kind.family != "single", **request)
        key_id = metadata["KeyMetadata"]["KeyId"]
        made = MadeKey(kind, key_id, f"arn:aws:kms:{EAST}:000000000000:key/{key_id}")
        if kind.origin == "EXTERNAL":
            made.imports = self._import(made, home)
        if kind.family in {"replicated", "replica"}:
            self.local.call("ReplicateKey", region=home, KeyId=key_id, ReplicaRegion=EAST if home == WEST else WEST)
        if kind.origin == "EXTERNAL" and kind.family == "replicated":
            self._import(made, WEST)
        if kind.origin == "EXTERNAL" and kind.family == "replica":
            made.imports = self._import(made, EAST)
        return made

    @contextmanager
    def in_state(self, made: MadeKey, state: str) -> Iterator[None]:
        """Put an enabled key into a state for a while: by the calls that lead there, where any do."""
        before = self.row(made)
        self._enter(made, state)
        assert self.local.call("DescribeKey", KeyId=made.key_id)["KeyMetadata"]["KeyState"] == state
        yield
        self._write(made, before)

    def row(self, made: MadeKey) -> KmsKey:
        """Return a key as the store has it."""
        with self.local.deployment.backends.store.read() as reader:
            key = reader.key(KeyLocator("000000000000", EAST, made.key_id))
        assert key is not None
        return key

    def _enter(self, made: MadeKey, state: str) -> None:
        if state == "Disabled":
            self.local.call("DisableKey", KeyId=made.key_id)
        elif state in {"PendingDeletion", "PendingReplicaDeletion"}:
            self.local.call("ScheduleKeyDeletion", KeyId=made.key_id)
        elif state == "PendingImport":
            self.local.call("DeleteImportedKeyMaterial", KeyId=made.key_id)
        elif state in {"Creating", "Updating"}:
            # Here, both pass within one call.
            self._write(made, replace(self.row(made), state=KeyState(state)))
        elif state == "Unavailable":
            # There is no custom key store to lose the connection to yet.
            store = {"origin": Origin.AWS_CLOUDHSM, "custom_key_store_id": "cks-1234567890abcdef0"}
            self._write(made, replace(self.row(made), state=KeyState.UNAVAILABLE, **store))

    def _write(self, made: MadeKey, key: KmsKey) -> None:
        before = self.row(made)
        self.local.deployment.backends.store.write(lambda transaction: transaction.save_key(before, key))

    def _import(self, made: MadeKey, region: str) -> dict[str, Any]:
        symmetric = made.kind.symmetric or made.kind.hmac
        algorithm = "RSAES_OAEP_SHA_256" if symmetric else "RSA_AES_KEY_WRAP_SHA_256"
        how = {"WrappingAlgorithm": algorithm, "WrappingKeySpec": "RSA_2048"}
        given = self.local.call("GetParametersForImport", region=region, KeyId=made.key_id, **how)
        request = wrapped(given, self._material(made.kind), algorithm)
        request["ExpirationModel"] = "KEY_MATERIAL_DOES_NOT_EXPIRE"
        self.local.call("ImportKeyMaterial", region=region, KeyId=made.key_id, **request)
        return request

    def _material(self, kind: Kind) -> bytes:
        if kind.spec not in self._materials:
            self._materials[kind.spec] = _new_material(kind)
        return self._materials[kind.spec]


def _new_material(kind: Kind) -> bytes:
    if kind.symmetric:
        return entropy(32)
    return entropy(int(kind.spec.removeprefix("HMAC_")) // 8) if kind.hmac else private_key(kind.spec)
