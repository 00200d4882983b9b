"""Keys that a token has wrapped, as the store keeps them: token of a backing key, and what its envelope contains.

The token of a backing key is an envelope of the Region's domain key (``envelope``) whose first byte is 0x13. So the
binding is authenticated, and the public key is known while the hardware is away. Its content::

    offset  length
    0       1       method of wrapping: 0x01 is AES key wrap with padding (RFC 5649)
    1       2       length s of the public key, big-endian; 0 for a secret key
    3       s       SubjectPublicKeyInfo, DER
    3+s     w       the key, wrapped under the key encryption key of the same version: a private key as PKCS #8
"""

import msgspec

from strongroom.crypto.domain_keys import DomainKeys, FullDepthKey
from strongroom.crypto.envelope import wrapping_version
from strongroom.crypto.hsm.key_kind import KeyKind, NewObject
from strongroom.crypto.pkcs11.calls import Calls
from strongroom.crypto.pkcs11.connection import TokenSession
from strongroom.crypto.pkcs11.return_codes import CryptokiError, Kind
from strongroom.crypto.pkcs11.wrapping import key_encryption_key
from strongroom.crypto.seal import UnsealError
from strongroom.crypto.token_errors import TokenFaultError
from strongroom.errors import UnsupportedOperationException

_FORMAT, _ENVELOPE = b"\x13", b"\x01"
_METHOD = 1
_START = 3


class WrappedKey(msgspec.Struct, frozen=True):
    """A key that a token has wrapped, with its public key, if it has one (SubjectPublicKeyInfo, DER)."""

    wrapped: bytes
    public_key: bytes = b""


class KeyNotKeptError(UnsupportedOperationException):
    """A token does not give a key back as it was, so the key cannot be kept."""

    code = UnsupportedOperationException.code


def is_wrapped_in_token(token: bytes) -> bool:
    """Tell whether the token of a backing key is one of these."""
    return token.startswith(_FORMAT)


def token_of(domain_key: FullDepthKey, key: WrappedKey, bound_to: bytes) -> bytes:
    """Return the token of a key that was wrapped under the key encryption key of a domain key."""
    content = bytes((_METHOD,)) + len(key.public_key).to_bytes(2) + key.public_key + key.wrapped
    return _FORMAT + domain_key.wrapper.wrap(content, bound_to)[len(_FORMAT) :]


def opened(
    domain_keys: DomainKeys, region: str, token: bytes, bound_to: bytes, *, stored: bool = True
) -> tuple[FullDepthKey, WrappedKey]:
    """Return the key of a token, and the domain key that it needs. The hardware is not called.

    Raises UnsealError unless it was made for ``bound_to``, and as ``DomainKeys.unwrap``, which has ``stored``.
    """
    if not is_wrapped_in_token(token):
        raise UnsealError("not the token of a key that hardware has wrapped")
    envelope = _ENVELOPE + token[len(_FORMAT) :]

    def act() -> tuple[FullDepthKey, bytes]:
        domain_key = domain_keys.of_full_depth(region, wrapping_version(envelope), stored=stored)
        return domain_key, domain_key.wrapper.unwrap(envelope, bound_to)

    domain_key, content = domain_keys.opened_by(act)
    end = _START + int.from_bytes(content[1:_START])
    if content[:1] != bytes((_METHOD,)) or len(content) <= end:
        raise UnsealError("a newer release has wrapped the key in another way")
    return domain_key, WrappedKey(content[end:], content[_START:end])


def wrap_key(session: TokenSession, key_encryption_key: int, kind: KeyKind, made: NewObject) -> WrappedKey:
    """Return a key, wrapped by RFC 5649. What comes back of it was compared before.

    SoftHSM 2.6.1 pads secrets whose length is no multiple of 8 with zeros, which makes another key of an HMAC key that
    is longer than a block of its hash. Raises KeyNotKeptError then, and as ``unwrap_key``.
    """
    calls = session.calls
    wrapped = calls.wrap_key(key_encryption_key, made.handle, wrap_mechanism(session))
    copy = unwrap_key(session, calls, key_encryption_key, kind, wrapped)
    try:
        if not kind.is_same(calls, made.handle, copy, made.public_key):
            raise KeyNotKeptError("The hardware security module does not keep this key: it comes back as another.")
    finally:
        calls.destroy_object(copy)
    return WrappedKey(wrapped, made.public_key)


def unwrap_key(
    session: TokenSession,
    calls: Calls,
    key_encryption_key: int,
    kind: KeyKind,
    wrapped: bytes,
    *,
    extractable: bool = False,
) -> int:
    """Return the handle of a key that was wrapped by RFC 5649, made with ``calls``.

    Raises CryptokiError, and TokenFaultError if the token says that the key encryption key has not wrapped it.
    """
    template = kind.template(extractable=extractable)
    try:
        return calls.unwrap_key(key_encryption_key, wrapped, template, wrap_mechanism(session))
    except CryptokiError as error:
        if error.kind is Kind.CALLER:
            # Otherwise it would be taken for a fault of the data that the key is to be used with.
            raise TokenFaultError(f"the token does not unwrap a key that it has wrapped: {error}") from None
        raise


def wrap_mechanism(session: TokenSession) -> int:
    """Return the number of RFC 5649 in the token; raises TokenFaultError if it has none."""
    mechanism = session.known_answers.wrap
    if mechanism is None:
        raise TokenFaultError("the token has no AES key wrap with padding (RFC 5649)")
    return mechanism


def key_encryption_key_of(session: TokenSession, domain_key: FullDepthKey) -> int:
    """Return the handle of a domain key's key encryption key; raises CryptokiError."""
    return key_encryption_key(session, domain_key.object_id)
