"""The key back end of full depth: makes, loads and moves keys that only a hardware token uses.

A Region is of full depth if its newest domain key has a key encryption key in the token. New keys are made in the token
then. Tokens of keys from before go on being loaded by the software key back end, until a rotation of the domain key
moves them. No key moves in the other direction.
"""

from collections.abc import Callable, Collection

import msgspec

from strongroom.crypto.backing_keys import BackingKey
from strongroom.crypto.binding import binding
from strongroom.crypto.domain_keys import DomainKeys, FullDepthKey
from strongroom.crypto.hsm.capabilities import KeyCapabilities
from strongroom.crypto.hsm.hsm_key import HsmKey
from strongroom.crypto.hsm.imports import HsmImports
from strongroom.crypto.hsm.key_kind import KeyKind, NewObject
from strongroom.crypto.hsm.kinds import kinds_of_keys
from strongroom.crypto.hsm.wrapped_keys import (
    WrappedKey,
    is_wrapped_in_token,
    key_encryption_key_of,
    opened,
    token_of,
    unwrap_key,
    wrap_key,
)
from strongroom.crypto.material import ImportedMaterial, MaterialBinding, MaterialOwner, WrappedMaterial, WrappingKey
from strongroom.crypto.pkcs11.calls import Calls
from strongroom.crypto.pkcs11.connection import TokenSession
from strongroom.crypto.pkcs11.return_codes import CryptokiError
from strongroom.crypto.pkcs11.token import PATIENCE, Token
from strongroom.crypto.seal import UnsealError
from strongroom.crypto.software.aes import NONCES_LENGTH
from strongroom.crypto.software.key_backend import SoftwareKeyBackend
from strongroom.crypto.software.private_keys import PRIVATE_KEYS
from strongroom.crypto.token_errors import TokenFaultError
from strongroom.entropy import Batch, Entropy
from strongroom.errors import UnsupportedOperationException
from strongroom.keys.arns import MULTI_REGION_PREFIX
from strongroom.keys.specs import KeySpec, KeyUsage
from strongroom.keys.wrapping import WrappingAlgorithm, WrappingKeySpec

_MAKING = 30.0
"""Seconds that a token may take to make a private key and to try it."""


class HsmKeyBackend:
    """Makes and loads backing keys; a token is the key, wrapped in the hardware, in an envelope of its domain key."""

    def __init__(
        self,
        domain_keys: DomainKeys,
        token: Token,
        entropy: Entropy,
        software: SoftwareKeyBackend,
    ) -> None:
        """Keep keys of full depth in ``token``, and leave all others to ``software``."""
        self._domain_keys = domain_keys
        self._token = token
        self._software = software
        self.kinds = kinds_of_keys(Batch(entropy, NONCES_LENGTH))
        self.capabilities = KeyCapabilities(token, self.kinds)
        """Which keys the token can keep."""
        self._imports = HsmImports(domain_keys, token, self.kinds)

    keeps_material = False

    @property
    def blocks(self) -> bool:
        """Whether a domain key, or its key encryption key, is in a token."""
        return self._software.blocks

    @property
    def blocks_when_loaded(self) -> bool:
        """Whether keys are used in the token."""
        return any(each.key_encryption_key for each in self._domain_keys.in_token)

    def require_spec(self, spec: KeySpec, usage: KeyUsage, region: str) -> None:
        """Refuse keys that the token cannot keep, in a Region of full depth: what it lacks is not done here.

        Raises UnsupportedOperationException, and as ``Token.run``.
        """
        self._software.require_spec(spec, usage, region)
        if self._domain_keys.newest_of_full_depth(region) is None:
            return
        reason = self.capabilities.refused(spec, usage)
        if reason is not None:
            raise UnsupportedOperationException(
                f"The hardware security module keeps no keys of KeySpec {spec} and KeyUsage {usage}: {reason}."
            )

    def token_for(self, owner: MaterialBinding) -> None:
        """Return None: the token contains the material."""

    def generate(self, owner: MaterialBinding) -> bytes:
        """Have the token make a key, and return it wrapped; raises LookupError for a spec that it does not have."""
        domain_key = self._domain_keys.newest_of_full_depth(owner.region)
        if domain_key is None:
            return self._software.generate(owner)
        self._software.require_approved(owner.spec)
        return self._make(domain_key, owner, self.kinds[owner.spec].generate)

    def load(self, token: bytes, owner: MaterialBinding) -> BackingKey:
        """Return the key. The hardware is not called before it is used. Raises as ``KeyBackend`` says."""
        if not is_wrapped_in_token(token):
            return self._software.load(token, owner)
        self._software.require_approved(owner.spec)
        domain_key, key = self._opened(token, owner)
        kind = self.kinds[owner.spec]
        usable = HsmKey(self._token, domain_key.object_id, kind, key.wrapped)
        return kind.backing_key(usable, key.public_key)

    def destroy(self, token: bytes, owner: MaterialBinding) -> None:
        """Do nothing: there is only ``token``, which the store erases, and a session object until it is unloaded."""

    def replicate(self, token: bytes, owner: MaterialBinding, region: str) -> bytes:
        """Wrap the same key for another Region; raises as ``KeyBackend`` says.

        Raises UnsupportedOperationException if it would leave the hardware.
        """
        there = msgspec.structs.replace(owner, region=region)
        domain_key = self._domain_keys.newest_of_full_depth(region)
        if domain_key is None and not is_wrapped_in_token(token):
            return self._software.replicate(token, owner, region)
        if not owner.key_id.startswith(MULTI_REGION_PREFIX):
            raise UnsealError("the material of a single-Region key stays in its Region")
        if domain_key is None:
            raise UnsupportedOperationException(
                f"The key is in a hardware security module, which keeps no keys of {region}. It does not leave it."
            )
        return self._moved(token, owner, domain_key, there)

    def rewrap(self, token: bytes, owner: MaterialBinding) -> bytes:
        """Wrap the same key for the newest domain key of its Region; raises as ``KeyBackend`` says.

        A key of this process moves into the hardware. In the other direction, UnsealError is raised.
        """
        domain_key = self._domain_keys.newest_of_full_depth(owner.region)
        if domain_key is not None:
            return self._moved(token, owner, domain_key, owner)
        if is_wrapped_in_token(token):
            raise UnsealError("keys that are in a hardware security module do not leave it")
        return self._software.rewrap(token, owner)

    def wrapping_key(self, spec: WrappingKeySpec, algorithm: WrappingAlgorithm, owner: MaterialOwner) -> WrappingKey:
        """Make a wrapping key pair; raises as ``KeyBackend`` says."""
        domain_key = self._domain_keys.newest_of_full_depth(owner.region)
        if domain_key is None:
            return self._software.wrapping_key(spec, algorithm, owner)
        self._software.require_approved(owner.spec)
        return self._imports.wrapping_key(domain_key, spec, algorithm, owner)

    def import_material(
        self, wrapped: WrappedMaterial, owner: MaterialOwner, known_ids: Collection[str] = ()
    ) -> ImportedMaterial:
        """Have material unwrapped, checked and kept in the token; raises as ``KeyBackend`` says.

        In full depth that takes a wrapping key of the token: what was encrypted for another would be in this process.
        """
        domain_key = self._domain_keys.newest_of_full_depth(owner.region)
        if domain_key is None:
            return self._software.import_material(wrapped, owner, known_ids)
        self._software.require_approved(owner.spec)
        material_id, key = self._imports.import_material(domain_key, wrapped, owner, known_ids)
        return ImportedMaterial(material_id, token_of(domain_key, key, _fields(owner.binding(material_id))))

    def _opened(self, token: bytes, owner: MaterialBinding) -> tuple[FullDepthKey, WrappedKey]:
        return opened(self._domain_keys, owner.region, token, _fields(owner))

    def _moved(
        self, token: bytes, owner: MaterialBinding, domain_key: FullDepthKey, new_owner: MaterialBinding
    ) -> bytes:
        """Return a token of the same key under a domain key, for a new owner."""
        kind = self.kinds.get(owner.spec)
        if kind is None:
            raise UnsupportedOperationException(f"Keys of KeySpec {owner.spec} cannot be moved into hardware.")
        if not is_wrapped_in_token(token):
            material = self._software.material(token, owner)
            return self._make(domain_key, new_owner, lambda calls: kind.create(calls, material))
        old, key = self._opened(token, owner)
        if old == domain_key and owner == new_owner:
            return token

        def work(session: TokenSession) -> WrappedKey:
            under = key_encryption_key_of(session, old)
            handle = unwrap_key(session, session.calls, under, kind, key.wrapped, extractable=True)
            return self._wrapped(session, domain_key, kind, NewObject(handle, key.public_key))

        return token_of(domain_key, self._run(work, owner.spec), _fields(new_owner))

    def _make(self, domain_key: FullDepthKey, owner: MaterialBinding, make: Callable[[Calls], NewObject]) -> bytes:
        """Return the token of a key that ``make`` makes."""
        kind = self.kinds[owner.spec]

        def work(session: TokenSession) -> WrappedKey:
            return self._wrapped(session, domain_key, kind, make(session.calls))

        return token_of(domain_key, self._run(work, owner.spec), _fields(owner))

    def _wrapped(self, session: TokenSession, domain_key: FullDepthKey, kind: KeyKind, made: NewObject) -> WrappedKey:
        """Wrap a new object and destroy it."""
        try:
            return wrap_key(session, key_encryption_key_of(session, domain_key), kind, made)
        finally:
            session.calls.destroy_object(made.handle)

    def _run(self, work: Callable[[TokenSession], WrappedKey], spec: KeySpec) -> WrappedKey:
        try:
            return self._token.run(work, patience=_MAKING if spec in PRIVATE_KEYS else PATIENCE)
        except CryptokiError as error:
            raise TokenFaultError(str(error)) from None


def _fields(bound_to: MaterialBinding) -> bytes:
    return binding(
        "hsm-key-material", bound_to.account, bound_to.region, bound_to.key_id, bound_to.material_id, bound_to.spec
    )
