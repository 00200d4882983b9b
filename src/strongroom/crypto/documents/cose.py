"""COSE_Sign1 messages (RFC 9052, 4.2), in the narrow form that attestation documents have, and the CBOR inside them.

Input is not trusted until its signature has been verified. So the decoder refuses tags (cbor2 makes regular
expressions, e-mails and huge numbers of some), indefinite lengths, duplicate keys and deep nesting.
"""

import io
from typing import Any, cast

import cbor2
import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384

_TAG = b"\xd2"
"""CBOR tag 18, COSE_Sign1. A message may begin with it."""
_ALGORITHM, _ES384 = 1, -35
_PARTS = 4
_SCALAR = 48
_MAX_DEPTH = 2


class CoseError(Exception):
    """The bytes are not a valid COSE_Sign1 message. The text says what is wrong, without quoting them."""


class _NoTags(dict[int, Any]):
    """The decoders that cbor2 looks up for tags: for each tag a function that refuses it."""

    def __missing__(self, _tag: int) -> object:
        return _refuse


def _refuse(*_: object) -> object:
    raise CoseError("it uses a CBOR tag")


class Sign1(msgspec.Struct, frozen=True):
    """A message with one signature, not verified yet."""

    protected: bytes
    payload: bytes
    signature: bytes

    def verify(self, key: EllipticCurvePublicKey) -> None:
        """Raise CoseError unless the signature is the message's, by ES384 (RFC 9053, 2.1: r and s side by side)."""
        signed = cbor2.dumps(["Signature1", self.protected, b"", self.payload])
        r, s = (int.from_bytes(each) for each in (self.signature[:_SCALAR], self.signature[_SCALAR:]))
        try:
            key.verify(encode_dss_signature(r, s), signed, ECDSA(SHA384()))
        except InvalidSignature:
            raise CoseError("its signature does not verify") from None


def parse_sign1(message: bytes) -> Sign1:
    """Return the parts of a message whose header names ES384; raises CoseError."""
    parts = decode_cbor(message.removeprefix(_TAG))
    if not isinstance(parts, list) or len(parts) != _PARTS:
        raise CoseError("it is not a COSE_Sign1 message")
    protected, unprotected, payload, signature = cast("list[object]", parts)
    if not isinstance(protected, bytes) or not isinstance(payload, bytes) or not isinstance(signature, bytes):
        raise CoseError("it is not a COSE_Sign1 message")
    header = decode_cbor(protected)
    if header != {_ALGORITHM: _ES384} or not isinstance(unprotected, dict) or unprotected:
        raise CoseError("its headers are not those of an ES384 signature alone")
    if len(signature) != 2 * _SCALAR:
        raise CoseError("its signature is not 96 bytes long")
    return Sign1(protected, payload, signature)


def decode_cbor(data: bytes) -> object:
    """Decode ``data``, which must be exactly one value; raises CoseError."""
    stream = io.BytesIO(data)
    decoder = cbor2.CBORDecoder(
        stream,
        semantic_decoders=_NoTags(),
        max_depth=_MAX_DEPTH,
        allow_indefinite=False,
        allow_duplicate_keys=False,
    )
    try:
        value: object = decoder.decode()
    except cbor2.CBORError:
        raise CoseError("it is not CBOR of the form that documents have") from None
    if stream.tell() != len(data):
        raise CoseError("something follows its end")
    return value
