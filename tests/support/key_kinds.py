"""Every kind of KMS key, and keys of each kind: created by real calls, and put into every key state.

The tables of this module come from the KMS Developer Guide ("Key spec reference", "Key states of AWS KMS keys",
"Importing key material"), not from the service.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from msgspec.structs import replace
from typing_extensions import override

from key_import import entropy, private_key, wrapped
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
"""Key spec → key usages. SM2 is missing: it exists only in China Regions."""
STATES = (
    *("Enabled", "Disabled", "PendingDeletion", "PendingReplicaDeletion", "PendingImport"),
    *("Unavailable", "Creating", "Updating"),
)


class KeyKind(msgspec.Struct, frozen=True):
    """The properties of a key that never change. ``family`` is its place among multi-Region keys.

    ``single``: a single-Region key. ``primary``: a primary without replicas. ``replicated``: a primary with a replica
    in eu-west-1. ``replica``: a replica of a primary in eu-west-1.
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
        """Whether key material of this kind can be imported."""
        return not self.spec.startswith("ML_")

    def states(self) -> Iterator[str]:
        """Yield the key states that are tested with this kind.

        A primary with replicas is pending replica deletion rather than pending deletion. Only keys with imported
        material are pending import. Only keys in custom key stores are unavailable. For most specs, primaries with
        replicas are tested in PendingReplicaDeletion only, to save time.
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


def all_key_kinds() -> list[KeyKind]:
    """Return every key spec with every usage and origin, and multi-Region keys of some specs.

    RSA keys are slow to make: large ones are imported, or multi-Region, with one usage only.
    """
    alone = [KeyKind(spec, usage) for spec, usages in USAGES.items() for usage in usages]
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
    """A key in us-east-1. ``imports``: the request that imports its material again, if it was imported."""

    kind: KeyKind
    key_id: str
    arn: str
    imports: dict[str, Any] | None = None


class KeyMaker:
    """Creates keys in a LocalDeployment, and puts them into key states."""

    def __init__(self, local: LocalDeployment) -> None:
        self.local = local
        self._materials: dict[str, bytes] = {}

    def make(self, kind: KeyKind) -> MadeKey:
        """Create an enabled key."""
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
        """Put an enabled key into a key state until the context ends, by real calls where calls can do that."""
        before = self.row(made)
        self._enter(made, state)
        assert self.local.call("DescribeKey", KeyId=made.key_id)["KeyMetadata"]["KeyState"] == state
        yield
        self._write(made, before)

    def row(self, made: MadeKey) -> KmsKey:
        """Return a key as it is stored."""
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
            # The service leaves both states within the call that enters them, so no call can stop there.
            self._write(made, replace(self.row(made), state=KeyState(state)))
        elif state == "Unavailable":
            # Keys in custom key stores cannot be created yet, so no call leads to this state.
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

    def _material(self, kind: KeyKind) -> bytes:
        if kind.spec not in self._materials:
            self._materials[kind.spec] = _new_material(kind)
        return self._materials[kind.spec]


def _new_material(kind: KeyKind) -> bytes:
    if kind.symmetric:
        return entropy(32)
    return entropy(int(kind.spec.removeprefix("HMAC_")) // 8) if kind.hmac else private_key(kind.spec)
