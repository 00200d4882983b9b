"""A KMS key ready for use: its metadata, its compiled policy, and its backing keys, loaded when first asked for."""

from functools import lru_cache
from typing import cast

import msgspec

from strongroom.crypto.backing_keys import (
    AgreementKey,
    AsymmetricKey,
    BackingKey,
    DecryptionKey,
    EncapsulationKey,
    MacKey,
    SigningKey,
    SymmetricKey,
)
from strongroom.crypto.external_keys import ExternalKey, FindUser
from strongroom.crypto.key_backends import KeyBackends
from strongroom.crypto.material import MaterialBinding
from strongroom.crypto.seal import UnsealError
from strongroom.errors import KmsError, QuarantinedRecordException
from strongroom.iam import CompiledPolicy, PolicyKind, compile_policy, parse_policy
from strongroom.keys import ciphertext
from strongroom.keys.imported import state_at
from strongroom.keys.kms_key import KeyMaterial, KmsKey
from strongroom.keys.specs import KeySpec, Origin
from strongroom.keys.states import KeyState
from strongroom.snapshot.loaded_keys import LoadedKeys
from strongroom.store.quarantine import Finding, Quarantine, material_record

WITHHELD = ("aws:resourcetag/", "kms:resourcealiases")
"""Condition keys that only identity policies can use: a key's tags and aliases decide nothing in its key policy."""

_MAX_POLICIES = 1024


class LoadedMaterial(msgspec.Struct, frozen=True, gc=False):
    """A symmetric backing key with what never changes about its blobs: their header, and the start of their AAD."""

    material_id: str
    header: bytes
    associated_data: bytes
    backing_key: SymmetricKey

    def encrypt(self, plaintext: bytes, context: bytes) -> bytes:
        """Return a ciphertext blob bound to the canonical encryption context."""
        return self.header + self.backing_key.encrypt(plaintext, self.associated_data + context)

    def decrypt(self, blob: ciphertext.CiphertextBlob, context: bytes) -> bytes:
        """Return the plaintext of a blob; raises InvalidCiphertextException."""
        return self.backing_key.decrypt(blob.body, self.associated_data + context)

    def used_by(self, find_user: FindUser) -> "LoadedMaterial":
        """Return external material for one call; raises KMSInvalidStateException if its store is not connected."""
        external = cast("ExternalKey", self.backing_key)
        return msgspec.structs.replace(self, backing_key=external.used_by(find_user()))


class ActiveKey:
    """One version of a key. A change of the key makes a new one; this one is dropped."""

    __slots__ = (
        *("_current", "_key_backends", "_loaded", "_loaded_current", "_loaded_keys", "_only", "_quarantine"),
        *("backend_blocks", "blocks", "is_external", "is_slow", "key", "policy", "public_key_blocks"),
        "settled",
    )

    def __init__(
        self, key: KmsKey, key_backends: KeyBackends, quarantine: Quarantine, loaded_keys: LoadedKeys | None = None
    ) -> None:
        """Make a key ready. ``loaded_keys`` is told when its material is loaded, and has it unloaded again."""
        self.key = key
        self.policy = _compiled(key.policy, key.pinned)
        self.is_slow = key.spec is KeySpec.ECC_SECG_P256K1
        """Whether using the key takes longer than the name of its algorithm suggests: OpenSSL has a fast implementation
        of ECDSA with SHA-256 for P-256, and none for secp256k1."""
        self.backend_blocks = self.blocks = key_backends.blocks(key)
        """Whether making or loading material of the key waits for a hardware token or a network. ``blocks`` is whether
        using the key waits, perhaps because it has not been loaded yet. Such calls run in the lane ``KEY_BACKEND``."""
        self.public_key_blocks = self.backend_blocks
        """Whether a call that needs the public half of the key alone waits. It does until the key has been loaded."""
        self.is_external = key.origin is Origin.EXTERNAL_KEY_STORE
        """Whether using the key calls an external key store proxy; such calls run in the lane ``XKS_PROXY``."""
        self.settled: dict[tuple[str, str], int] | None = None
        """Access key id and action → the serial of the credential for which its policies and the key's have allowed
        that under any conditions. As long as both are the same, so is the decision."""
        self._key_backends = key_backends
        self._quarantine = quarantine
        self._current = key.current_material
        self._loaded_current: LoadedMaterial | None = None
        self._loaded: dict[str, LoadedMaterial] | None = None
        self._only: BackingKey | None = None
        self._loaded_keys = loaded_keys

    def state_at(self, now: float) -> KeyState:
        """Return the state of the key at a time, in epoch seconds: imported material may have expired by then."""
        key = self.key
        return state_at(key, now) if key.origin is Origin.EXTERNAL else key.state

    # --- symmetric encryption keys: one backing key encrypts, all that have been current decrypt

    def current(self) -> LoadedMaterial:
        """Return the backing key that encrypts. The caller has checked that the key's state allows use."""
        loaded = self._loaded_current
        if loaded is None:
            loaded = self._loaded_current = self._load(self._usable())
            if self.blocks:
                self._load_all()
            self._note_loaded()
        return loaded

    def material(self, material_id: str) -> LoadedMaterial | None:
        """Return the backing key of that id, or None if it is not this key's."""
        if self._current is not None and self._current.material_id == material_id and self._current.token is not None:
            return self.current()
        by_id = self._loaded
        if by_id is None:
            # Few keys ever need it, and a dict takes as much memory as the rest of the object.
            by_id = self._loaded = {}
        loaded = by_id.get(material_id)
        if loaded is not None:
            return loaded
        for material in self.key.materials:
            if material.material_id == material_id and material.permanent and material.token is not None:
                loaded = by_id[material_id] = self._load(material)
                if self.blocks:
                    self._load_all()
                self._note_loaded()
        if loaded is None and material_id in self.key.damaged:
            raise unusable_material(self.key, material_id)
        return loaded

    # --- all others: they have one backing key for life. Which of these it is follows from the key's spec.

    def signing_key(self) -> SigningKey:
        """Return the backing key of a key that signs."""
        return cast("SigningKey", self._backing_key())

    def decryption_key(self) -> DecryptionKey:
        """Return the backing key of an asymmetric key that decrypts."""
        return cast("DecryptionKey", self._backing_key())

    def mac_key(self) -> MacKey:
        """Return the backing key of an HMAC key."""
        return cast("MacKey", self._backing_key())

    def agreement_key(self) -> AgreementKey:
        """Return the backing key of a key that derives shared secrets."""
        return cast("AgreementKey", self._backing_key())

    def encapsulation_key(self) -> EncapsulationKey:
        """Return the backing key of a key that encapsulates."""
        return cast("EncapsulationKey", self._backing_key())

    def public_key(self) -> bytes:
        """Return the public key of an asymmetric key, DER."""
        return cast("AsymmetricKey", self._backing_key()).public_key()

    # --- loading

    def _backing_key(self) -> BackingKey:
        only = self._only
        if only is None:
            only = self._only = self._load_backing_key(self._usable())
            self.blocks, self.public_key_blocks = self._blocks_when_loaded(), False
            self._note_loaded()
        return only

    def _note_loaded(self) -> None:
        # Afterwards: what is noted can be unloaded at once.
        if self._loaded_keys is not None:
            self._loaded_keys.add(self)

    def begin_unloading(self) -> bool:
        """Have calls that begin from now on wait for the back end; return whether calls so far did not wait for it."""
        was_inline = self.backend_blocks and not (self.blocks and self.public_key_blocks)
        self.blocks = self.public_key_blocks = self.backend_blocks
        return was_inline

    def unload(self) -> None:
        """Forget all material. The next call loads what it needs."""
        self._loaded_current = self._loaded = self._only = None

    def _blocks_when_loaded(self) -> bool:
        return self.backend_blocks and self._key_backends.blocks_when_loaded(self.key)

    def _load_all(self) -> None:
        """Load all other material of a symmetric key too, if calls need not wait for its back end any more after that.

        Which material a call needs is known too late for it to leave the event loop.
        """
        if self._blocks_when_loaded():
            return
        missing = False
        loaded = self._loaded = {} if self._loaded is None else self._loaded
        for material in self.key.materials:
            if not material.permanent or material.token is None or material.material_id in loaded:
                continue
            try:
                if material is not self._current:
                    loaded[material.material_id] = self._load(material)
                elif self._loaded_current is None:
                    self._loaded_current = self._load(material)
            except KmsError:
                # This call may not need it.
                missing = True
        self.blocks = missing

    def _load(self, material: KeyMaterial) -> LoadedMaterial:
        header = ciphertext.header(material.material_id)
        return LoadedMaterial(
            material_id=material.material_id,
            header=header,
            associated_data=ciphertext.associated_data(header, self.key.key_id, b""),
            backing_key=cast("SymmetricKey", self._load_backing_key(material)),
        )

    def _load_backing_key(self, material: KeyMaterial) -> BackingKey:
        if material.token is None:
            raise LookupError(material.material_id)
        try:
            return self._key_backends.of(self.key).load(material.token, binding_of(self.key, material.material_id))
        except UnsealError as error:
            record = material_record(material.material_id, self.key.arn)
            self._quarantine.add(Finding(record, f"it cannot be unwrapped ({error})"))
            raise unusable_material(self.key, material.material_id) from None

    def _usable(self) -> KeyMaterial:
        if self._current is None:
            if self.key.damaged:
                raise unusable_material(self.key, *self.key.damaged)
            raise LookupError(self.key.arn)
        return self._current


@lru_cache(maxsize=_MAX_POLICIES)
def _compiled(policy: str, pinned: tuple[tuple[str, str], ...]) -> CompiledPolicy:
    # Most keys of an account have the same one: shared, it costs them neither time nor memory.
    return compile_policy(parse_policy(policy, PolicyKind.RESOURCE), "the key policy", dict(pinned), WITHHELD)


def unusable_material(key: KmsKey, *material_ids: str) -> QuarantinedRecordException:
    """Return the refusal of a call that needs material of a key which is damaged or missing. The log says which."""
    names = ", ".join(material_ids)
    error = QuarantinedRecordException(
        f"The stored key material {names} of {key.arn} is damaged or missing. It cannot be used until it is restored."
    )
    error.details = {"quarantined": material_record(names, key.arn)}
    return error


def binding_of(key: KmsKey, material_id: str) -> MaterialBinding:
    """Return what a key's material is bound to."""
    return MaterialBinding(
        account=key.account, region=key.region, key_id=key.key_id, material_id=material_id, spec=key.spec
    )
