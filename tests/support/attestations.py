"""A simulated Nitro hypervisor: certificate authorities, a signing certificate, and attestation documents."""

from datetime import UTC, datetime
from typing import Any, NamedTuple

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

HOUR = 3600.0
ES384 = {1: -35}
P384 = ec.SECP384R1()


class Issued(NamedTuple):
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)


def issue(  # noqa: PLR0913 - one parameter for each property that can be wrong
    subject: str,
    issuer: Issued | None,
    now: float,
    *,
    authority: bool = True,
    may_sign: bool = True,
    path_length: int | None = None,
    begins: float = -HOUR,
    ends: float = HOUR,
    curve: ec.EllipticCurve = P384,
    digest: SHA256 | SHA384 | None = None,
    more: x509.ExtensionType | None = None,
) -> Issued:
    """Return a certificate signed by ``issuer``, or self-signed if that is None.

    ``begins`` and ``ends`` are seconds from ``now``, which is in epoch seconds. ``may_sign``: whether the key usage
    allows signing. ``more`` is a further critical extension.
    """
    key = ec.generate_private_key(curve)
    signer = key if issuer is None else issuer.key
    name = _name(subject)
    usage = x509.KeyUsage(
        digital_signature=may_sign and not authority,
        key_cert_sign=may_sign and authority,
        crl_sign=authority,
        content_commitment=not authority,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name if issuer is None else issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.fromtimestamp(now + begins, UTC))
        .not_valid_after(datetime.fromtimestamp(now + ends, UTC))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=path_length), critical=True)
        .add_extension(usage, critical=authority)
    )
    if authority:
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
        builder = builder.add_extension(identifier, critical=False)
    if more is not None:
        builder = builder.add_extension(more, critical=True)
    return Issued(builder.sign(signer, digest or SHA384()), key)


class Hypervisor:
    """Makes attestation documents as of ``now`` (epoch seconds), with valid authorities."""

    def __init__(self, now: float) -> None:
        self.now = now
        self.root = issue("aws.nitro-enclaves", None, now)
        self.region = issue("us-east-1.aws.nitro-enclaves", self.root, now)
        self.instance = issue("i-1234567890abcdef0.us-east-1.aws.nitro-enclaves", self.region, now, path_length=0)
        self.signer = issue("i-1234567890abcdef0-enc0123456789abcdef", self.instance, now, authority=False)

    def payload(self, public_key: bytes, /, **changes: Any) -> dict[Any, Any]:
        """Return the payload of an enclave's document; a member changed to ``...`` is left out."""
        members: dict[Any, Any] = {
            "module_id": "i-1234567890abcdef0-enc0123456789abcdef",
            "digest": "SHA384",
            "timestamp": int(self.now * 1000),
            "pcrs": {index: register(index) for index in range(16)},
            "certificate": self.signer.der,
            "cabundle": [self.root.der, self.region.der, self.instance.der],
            "public_key": public_key,
            "user_data": None,
            "nonce": None,
            **changes,
        }
        return {name: value for name, value in members.items() if value is not ...}

    def document(self, public_key: bytes, /, **changes: Any) -> bytes:
        """Return a signed document of an enclave."""
        return sign(cbor2.dumps(self.payload(public_key, **changes)), self.signer.key)

    def tpm_document(self, public_key: bytes, /, **changes: Any) -> bytes:
        """Return a signed document of an instance with a NitroTPM."""
        registers = {index: register(index) for index in range(24)}
        module_id = "i-1234567890abcdef0-tpm0000000000000000"
        members = {"pcrs": ..., "nitrotpm_pcrs": registers, "module_id": module_id, **changes}
        return self.document(public_key, **members)


def sign(payload: bytes, key: ec.EllipticCurvePrivateKey, *, protected: Any = ES384, unprotected: Any = None) -> bytes:
    """Return an untagged COSE_Sign1 message, signed with ES384."""
    header = protected if isinstance(protected, bytes) else cbor2.dumps(protected)
    signed = cbor2.dumps(["Signature1", header, b"", payload])
    r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(SHA384())))
    return cbor2.dumps([header, unprotected or {}, payload, r.to_bytes(48) + s.to_bytes(48)])


def register(index: int) -> bytes:
    """Return the value of a platform configuration register; each index has a different one."""
    return bytes([0xA0 + index]) * 48


def spki(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    """Return the public key as a document contains it: SubjectPublicKeyInfo, DER."""
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
