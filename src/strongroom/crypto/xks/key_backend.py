"""The key back end of external key stores: every plaintext is encrypted twice, first here and then by the proxy.

Neither side alone can decrypt. The backing key here is an ordinary one of the default key store, so no proxy ever
sees a plaintext; the external key never leaves its key manager.

Body, suite 3::

    offset   length
    0        1       suite, 0x03
    1        1       length m of the proxy's metadata, at most 20
    2        m       metadata
    2+m      1       length v of the initialization vector, 12 or 16
    3+m      v       initialization vector
    3+m+v    16      authentication tag
    19+m+v   n + 45  what the proxy has encrypted: a body of suite 1 (``software.aes``)

It is at most 100 bytes longer than the plaintext. The proxy gets SHA-256 of the additional authenticated data, 32
bytes: it takes only 8,192, and the encryption context stays here.
"""

from hashlib import sha256
from typing import Protocol, cast

from strongroom.crypto.backing_keys import BackingKey, SymmetricKey
from strongroom.crypto.custom_key_stores import CustomKeyStoreBackend
from strongroom.crypto.external_keys import KeyUser
from strongroom.crypto.key_backend import KeyBackend
from strongroom.crypto.material import MaterialBinding
from strongroom.crypto.seal import UnsealError
from strongroom.crypto.xks.messages import IV_LENGTHS, MAX_METADATA_LENGTH, TAG_LENGTH, Sealed
from strongroom.crypto.xks.proxies import ExternalKeyRef, XksProxies
from strongroom.errors import (
    InvalidCiphertextException,
    KmsError,
)
from strongroom.keys.arns import KeyLocator
from strongroom.keys.custom_key_stores import CustomKeyStore, CustomKeyStoreType, with_usable_keys
from strongroom.keys.external_keys import ExternalToken, external_material_id, external_token, parse_external_token
from strongroom.keys.xks_failures import XksError, XksFailure, use_error

_SUITE = 3


class FindStore(Protocol):
    """Finds a custom key store."""

    def __call__(self, account: str, region: str, store_id: str, /) -> CustomKeyStore | None:
        """Return the store as it is now, or None if there is none; it may wait for the database."""
        ...


class ExternalKeyBackend(CustomKeyStoreBackend):
    """Loads and uses the material of KMS keys in external key stores, all of them."""

    kind = "External key stores"
    keeps_material = False
    """The backing key exists only in the token, and the external key is not ours."""

    def __init__(self, default: KeyBackend, proxies: XksProxies, find_store: FindStore) -> None:
        """``default`` makes and loads the backing keys that encrypt first."""
        self._default = default
        self._proxies = proxies
        self._find_store = find_store

    def token_for(self, owner: MaterialBinding) -> None:
        """Return None: the token contains the backing key."""

    def generate(self, owner: MaterialBinding) -> bytes:
        """Have the default back end make the backing key; return its token. The caller adds the external key."""
        self.require_symmetric(owner.spec)
        return self._default.generate(owner)

    def load(self, token: bytes, owner: MaterialBinding) -> BackingKey:
        """Load the backing key; the proxy is not called. Raises UnsealError if the token was not made for ``owner``."""
        named = _parsed(token, owner)
        inner = cast("SymmetricKey", self._default.load(named.inner, owner))
        return cast("BackingKey", _UnusedKey(self._proxies, self._find_store, inner, named, owner))

    def destroy(self, token: bytes, owner: MaterialBinding) -> None:
        """Do nothing: there is nothing to destroy (``keeps_material``)."""

    def rewrap(self, token: bytes, owner: MaterialBinding) -> bytes:
        """Wrap the backing key anew; the external key stays the same. Raises UnsealError as ``load`` does."""
        named = _parsed(token, owner)
        return external_token(named.store_id, named.external_id, self._default.rewrap(named.inner, owner))


class _UnusedKey:
    """A loaded key; see ``ExternalKey``."""

    __slots__ = ("_find_store", "_inner", "_named", "_owner", "_proxies")

    def __init__(
        self,
        proxies: XksProxies,
        find_store: FindStore,
        inner: SymmetricKey,
        named: ExternalToken,
        owner: MaterialBinding,
    ) -> None:
        self._proxies = proxies
        self._find_store = find_store
        self._inner = inner
        self._named = named
        self._owner = owner

    def used_by(self, user: KeyUser) -> SymmetricKey:
        """Return the key for one call; raises KMSInvalidStateException unless its key store is connected."""
        owner, named = self._owner, self._named
        found = self._find_store(owner.account, owner.region, named.store_id)
        store = with_usable_keys(found, CustomKeyStoreType.EXTERNAL_KEY_STORE)
        arn = KeyLocator(owner.account, owner.region, owner.key_id).arn
        return _UsedKey(self._proxies, self._inner, ExternalKeyRef(store, named.external_id, arn, user))


class _UsedKey:
    """A key of a connected store, for one call."""

    __slots__ = ("_inner", "_key", "_proxies")

    def __init__(self, proxies: XksProxies, inner: SymmetricKey, key: ExternalKeyRef) -> None:
        self._proxies = proxies
        self._inner = inner
        self._key = key

    def encrypt(self, plaintext: bytes, associated_data: bytes) -> bytes:
        """Return the body, at most 100 bytes longer than the plaintext; raises KMSInvalidStateException."""
        once = self._inner.encrypt(plaintext, associated_data)
        try:
            return body_of(self._proxies.encrypt(self._key, once, sha256(associated_data).digest()))
        except XksError as error:
            raise self._refusal(error, decrypting=False) from None

    def decrypt(self, body: bytes, associated_data: bytes) -> bytes:
        """Return the plaintext; raises InvalidCiphertextException for a body of another format before any call.

        Raises KMSInvalidStateException if the proxy refuses, also for a ciphertext that is not authentic.
        """
        sealed = sealed_in(body)
        try:
            once = self._proxies.decrypt(self._key, sealed, sha256(associated_data).digest())
        except XksError as error:
            raise self._refusal(error, decrypting=True) from None
        try:
            return self._inner.decrypt(once, associated_data)
        except InvalidCiphertextException:
            raise self._refusal(XksError(XksFailure.WRONG_PLAINTEXT), decrypting=True) from None

    def _refusal(self, error: XksError, *, decrypting: bool) -> KmsError:
        refusal = use_error(error, decrypting=decrypting)
        key = self._key
        refusal.details = {
            **(refusal.details or {}),
            "customKeyStoreId": key.store.store_id,
            "xksKeyId": key.external_id,
        }
        return refusal


def _parsed(token: bytes, owner: MaterialBinding) -> ExternalToken:
    """Return the parts of a token; raises UnsealError unless they are those of ``owner``."""
    try:
        named = parse_external_token(token)
    except ValueError as error:
        raise UnsealError(str(error)) from None
    if external_material_id(named.store_id, named.external_id) != owner.material_id:
        raise UnsealError("it names another external key")
    return named


def body_of(sealed: Sealed) -> bytes:
    """Return the body of suite 3 for what a proxy has encrypted."""
    metadata, iv = sealed.metadata, sealed.iv
    return b"%c%c%b%c%b%b%b" % (_SUITE, len(metadata), metadata, len(iv), iv, sealed.tag, sealed.ciphertext)


def sealed_in(body: bytes) -> Sealed:
    """Return what a proxy has encrypted; raises InvalidCiphertextException for bytes of another format."""
    if len(body) < 2 or body[0] != _SUITE or body[1] > MAX_METADATA_LENGTH:  # noqa: PLR2004 - suite and length
        raise InvalidCiphertextException
    metadata, rest = body[2 : 2 + body[1]], body[2 + body[1] :]
    if not rest or rest[0] not in IV_LENGTHS:
        raise InvalidCiphertextException
    tag_at = 1 + rest[0]
    at = tag_at + TAG_LENGTH
    if len(rest) <= at:
        raise InvalidCiphertextException
    return Sealed(ciphertext=rest[at:], iv=rest[1:tag_at], tag=rest[tag_at:at], metadata=metadata)
