"""Attestation documents: they prove what runs in a Nitro enclave or on a NitroTPM instance, and its public key.

Source: AWS Nitro Enclaves User Guide, "Verifying the root of trust"; EC2 User Guide, "Validate a NitroTPM Attestation
Document". A document is a COSE_Sign1 message whose payload carries the certificate that signed it. Trust comes from the
configured root certificates alone.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import cast

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import load_der_public_key
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from strongroom.crypto.documents.cose import CoseError, decode_cbor, parse_sign1
from strongroom.errors import ValidationException
from strongroom.settings import SettingsError
from strongroom.whole_files import read_regular

_MAX_PAYLOAD = 16_384
_MAX_DOCUMENT = _MAX_PAYLOAD + 1024
"""AWS limits the payload. The rest of the document is about 110 bytes."""
_MAX_REGISTERS = 32
_REGISTER_SIZES = frozenset({32, 48, 64})
_MAX_CERTIFICATE = 1024
_MAX_CERTIFICATES = 5
"""The signer's, and those of its authorities: AWS has four, the root among them."""
_MAX_PUBLIC_KEY = 1024
_MAX_USER_DATA = 512
_MIN_RSA_BITS = 2048
_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""The exceptions of the library for a certificate that it cannot load, or one of whose fields it cannot read."""


class Platform(StrEnum):
    """The issuer of a document. The value is the name of the payload's member that holds the registers."""

    ENCLAVE = "pcrs"
    TPM = "nitrotpm_pcrs"


class Attested(msgspec.Struct, frozen=True):
    """The content of a verified document: its platform, its platform configuration registers, and its public key."""

    module_id: str
    platform: Platform
    registers: Mapping[int, bytes]
    public_key: RSAPublicKey


class _BadDocumentError(Exception):
    """A document cannot be accepted. The text says why, without quoting the document."""


class Attestations:
    """Verifies attestation documents against root certificates, which are read once."""

    def __init__(self, roots: Sequence[str], max_age: float, max_skew: float) -> None:
        """Read root certificates from PEM files.

        A document may be at most ``max_age`` seconds old, and its time at most ``max_skew`` seconds ahead of the clock.
        Raises SettingsError when a file cannot be used.
        """
        certificates = [certificate for path in roots for certificate in _read_roots(path)]
        self._roots = Store(certificates) if certificates else None
        self._max_age = max_age
        self._max_skew = max_skew

    def verify(self, document: bytes, now: float) -> Attested:
        """Return the content of a document, verified at ``now`` (epoch seconds); raises ValidationException."""
        if self._roots is None:
            raise ValidationException("Recipient is not supported: this service trusts no attestation root.")
        try:
            return self._verify(document, now, self._roots)
        except (_BadDocumentError, CoseError) as error:
            raise ValidationException(f"The attestation document is not valid: {error}.") from None

    def _verify(self, document: bytes, now: float, roots: Store) -> Attested:
        if len(document) > _MAX_DOCUMENT:
            raise _BadDocumentError("it is too large")
        message = parse_sign1(document)
        if len(message.payload) > _MAX_PAYLOAD:
            raise _BadDocumentError("it is too large")
        members = decode_cbor(message.payload)
        if not isinstance(members, dict):
            raise _BadDocumentError("its payload is not a map")
        fields = cast("dict[object, object]", members)
        message.verify(_signing_key(fields, now, roots))
        self._require_fresh(fields, now)
        return _attested(fields)

    def _require_fresh(self, fields: Mapping[object, object], now: float) -> None:
        made_at = fields.get("timestamp")
        # In Python a boolean is an int.
        if type(made_at) is not int or made_at <= 0:
            raise _BadDocumentError("it does not say when it was made")
        age = now - made_at / 1000
        if age > self._max_age:
            raise _BadDocumentError("it is too old")
        if age < -self._max_skew:
            raise _BadDocumentError("it was made in the future")


def _read_roots(path: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(read_regular(Path(path)))
    except OSError as error:
        raise SettingsError(f"`{path}` in attestation-roots cannot be read: {error.strerror}") from None
    except ValueError:
        raise SettingsError(f"`{path}` in attestation-roots is not a file of certificates (PEM)") from None


# --- the signature


def _signing_key(fields: Mapping[object, object], now: float, roots: Store) -> EllipticCurvePublicKey:
    """Return the key of the certificate in a document, after verifying the chain to a root certificate."""
    bundle = fields.get("cabundle")
    if not isinstance(bundle, list) or not bundle:
        raise _BadDocumentError("it carries no certificates of authorities")
    if 1 + len(bundle) > _MAX_CERTIFICATES:
        raise _BadDocumentError(f"it carries more than {_MAX_CERTIFICATES} certificates")
    leaf = _certificate(fields.get("certificate"))
    authorities = [_certificate(each) for each in cast("list[object]", bundle)]
    _require_distinct_names(authorities)
    moment = datetime.fromtimestamp(now, UTC).replace(tzinfo=None)
    builder = PolicyBuilder().store(roots).time(moment)
    verifier = builder.extension_policies(ca_policy=_AUTHORITY, ee_policy=_SIGNER).build_client_verifier()
    try:
        chain = verifier.verify(leaf, authorities).chain
    except (VerificationError, *_UNREADABLE):
        raise _BadDocumentError("its certificate does not lead to a trusted root, or is not valid now") from None
    keys = [_p384_key(each) for each in chain]
    return keys[0]


def _require_distinct_names(authorities: Sequence[x509.Certificate]) -> None:
    """Refuse several authorities of one name: each would be tried as an issuer, and so on up every path."""
    try:
        names = {each.subject.public_bytes() for each in authorities}
    except _UNREADABLE:
        raise _BadDocumentError("it carries a certificate that cannot be read") from None
    if len(names) < len(authorities):
        raise _BadDocumentError("it carries several certificates of authorities with the same name")


def _certificate(der: object) -> x509.Certificate:
    if not isinstance(der, bytes) or not 1 <= len(der) <= _MAX_CERTIFICATE:
        raise _BadDocumentError("it carries a certificate that cannot be read")
    try:
        return x509.load_der_x509_certificate(der)
    except _UNREADABLE:
        raise _BadDocumentError("it carries a certificate that cannot be read") from None


def _p384_key(certificate: x509.Certificate) -> EllipticCurvePublicKey:
    """Return the certificate's key. Only ECDSA on P-384 with SHA-384 is accepted, as AWS's authorities sign."""
    key = certificate.public_key()
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP384R1):
        raise _BadDocumentError("a certificate's key is not on P-384")
    if not isinstance(certificate.signature_hash_algorithm, SHA384):
        raise _BadDocumentError("a certificate is not signed with SHA-384")
    return key


def _require_signer(_policy: Policy, _certificate: x509.Certificate, usage: x509.KeyUsage) -> None:
    if not usage.digital_signature:
        raise ValueError("not for digital signatures")


def _require_no_authority(
    _policy: Policy, _certificate: x509.Certificate, constraints: x509.BasicConstraints | None
) -> None:
    if constraints is not None and (constraints.ca or constraints.path_length is not None):
        raise ValueError("an authority's certificate")


_AUTHORITY = ExtensionPolicy.webpki_defaults_ca()
_SIGNER = (
    ExtensionPolicy.permit_all()
    .require_present(x509.KeyUsage, Criticality.AGNOSTIC, _require_signer)
    .may_be_present(x509.BasicConstraints, Criticality.AGNOSTIC, _require_no_authority)
)


# --- the content


def _attested(fields: Mapping[object, object]) -> Attested:
    module_id = fields.get("module_id")
    if not isinstance(module_id, str) or not module_id:
        raise _BadDocumentError("it has no module id")
    if fields.get("digest") != "SHA384":
        raise _BadDocumentError("its digest is not SHA384")
    for name in ("user_data", "nonce"):
        data = fields.get(name)
        if data is not None and (not isinstance(data, bytes) or len(data) > _MAX_USER_DATA):
            raise _BadDocumentError(f"its {name} is not a byte string of at most {_MAX_USER_DATA} bytes")
    platforms = [platform for platform in Platform if platform.value in fields]
    if len(platforms) != 1:
        raise _BadDocumentError("it is of neither a Nitro enclave nor a NitroTPM")
    registers = _registers(fields[platforms[0].value])
    return Attested(module_id, platforms[0], registers, _public_key(fields.get("public_key")))


def _registers(value: object) -> dict[int, bytes]:
    if not isinstance(value, dict) or not 1 <= len(value) <= _MAX_REGISTERS:
        raise _BadDocumentError("it does not have 1 to 32 platform configuration registers")
    registers: dict[int, bytes] = {}
    for index, content in cast("dict[object, object]", value).items():
        if type(index) is not int or not 0 <= index < _MAX_REGISTERS:
            raise _BadDocumentError("a platform configuration register has no number from 0 to 31")
        if not isinstance(content, bytes) or len(content) not in _REGISTER_SIZES:
            raise _BadDocumentError("a platform configuration register is not 32, 48 or 64 bytes long")
        registers[index] = content
    return registers


def _public_key(der: object) -> RSAPublicKey:
    if der is None:
        raise _BadDocumentError("it carries no public key to encrypt with")
    if not isinstance(der, bytes) or not 1 <= len(der) <= _MAX_PUBLIC_KEY:
        raise _BadDocumentError("its public key is not 1 to 1024 bytes long")
    try:
        key = load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm):
        raise _BadDocumentError("its public key cannot be read") from None
    if not isinstance(key, RSAPublicKey) or key.key_size < _MIN_RSA_BITS:
        raise _BadDocumentError("its public key is not an RSA key of at least 2048 bits")
    return key
