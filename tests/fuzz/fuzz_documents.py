"""Fuzz targets: attestation documents, tokens, web identity tokens, and the lines of the audit log."""

import atexit
import base64
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa

from attestations import Hypervisor, spki
from issuers import AUDIENCE, ISSUER, Issuer
from promises import require_refusal
from strongroom.audit.verification import Verifier
from strongroom.crypto.audit_key import AuditKey
from strongroom.crypto.binding import GRANT_TOKEN_BINDING, IMPORT_TOKEN_BINDING
from strongroom.crypto.documents.attestation import Attestations
from strongroom.crypto.documents.cose import CoseError, decode_cbor
from strongroom.crypto.documents.web_identity import WebIdentities, WebIdentity, read_token
from strongroom.crypto.domain_keys import IAM_SCOPE, DomainKeys, create_domain_key
from strongroom.crypto.seals.root_key import RootKey, RootKeySeal
from strongroom.crypto.service_secrets import ServiceSecrets
from strongroom.errors import KmsError, ValidationException
from strongroom.keys.arns import KeyLocator
from strongroom.operations import grant_tokens
from strongroom.operations.kms import import_token
from strongroom.settings import IdentityProvider

NOW = 1_790_000_000.0
entropy = os.urandom  # noqa: TID251 - real randomness
_LOCATOR = KeyLocator("000000000000", "us-east-1", "11111111-2222-3333-4444-555555555555")
_MOST_MEMBERS = 32
_SKEW = 60


def fuzz_attestation(data: bytes) -> None:
    """Verify the bytes as a document: none of them is signed."""
    _, attestations = _hypervisor()
    try:
        attestations.verify(data, NOW)
    except ValidationException:
        return
    raise AssertionError("an unsigned document is accepted")


def fuzz_attested_payload(data: bytes) -> None:
    """Verify a document whose payload is the map in the bytes, signed by a hypervisor.

    The map stands in the place of the members of a good document; those that it lacks are kept.
    """
    try:
        changes = decode_cbor(data)
    except CoseError:
        return
    if not isinstance(changes, dict) or len(changes) > _MOST_MEMBERS:
        return
    hypervisor, attestations = _hypervisor()
    named = {name: value for name, value in changes.items() if isinstance(name, str)}
    try:
        attested = attestations.verify(hypervisor.document(_public_key(), **named), NOW)
    except ValidationException:
        return
    assert named.keys().isdisjoint({"certificate", "cabundle"}) or attested.registers


def fuzz_token(data: bytes) -> None:
    """Read the bytes as a grant token and as an import token; then the same bytes as the content of a sealed one."""
    secrets = _secrets()
    text = data.decode("latin-1")
    sealed = base64.urlsafe_b64encode(secrets.wrap(data, GRANT_TOKEN_BINDING)).decode()
    _refused_or(partial(grant_tokens.read, secrets, text), accepted=False)
    _refused_or(partial(grant_tokens.read, secrets, sealed), accepted=True)
    _refused_or(partial(import_token.read, secrets, data, _LOCATOR, NOW), accepted=False)
    wrapped = secrets.wrap(data, IMPORT_TOKEN_BINDING)
    _refused_or(partial(import_token.read, secrets, wrapped, _LOCATOR, NOW), accepted=True)


def fuzz_web_identity(data: bytes) -> None:
    """Verify the bytes as a token; then their first line as the header and the others as the claims of a signed one."""
    issuer, identities = _issuer()
    text = data.decode("latin-1")
    header, _, claims = text.partition("\n")
    parts = (base64.urlsafe_b64encode(part.encode()).decode() for part in (header, claims))
    for forged in (text, f"{'.'.join(parts)}.AAAA"):
        _refused_or(partial(_verify, identities, forged), accepted=False)
    try:
        found = _verify(identities, issuer.signed(header, claims))
    except KmsError as error:
        require_refusal(error)
        return
    told = json.loads(claims)
    assert json.loads(header)["alg"] == "RS256"
    assert (found.issuer, found.audience, found.subject) == (ISSUER, AUDIENCE, told["sub"])
    assert told["exp"] >= NOW - _SKEW
    assert told.get("nbf", 0) <= NOW + _SKEW


def fuzz_audit_log(data: bytes) -> None:
    """Verify the lines after the first one as a segment of the name that the first one has: nothing in it is signed."""
    name, _, content = data.partition(b"\n")
    verifier = Verifier(_audit_key().public().verifies, {})
    verifier.begin(name.decode("latin-1"))
    *lines, rest = content.split(b"\n")
    verifier.lines(lines)
    verifier.end(rest, newest=True)
    assert verifier.finish({}).checkpoints == 0


def _refused_or(read: Callable[[], object], *, accepted: bool) -> None:
    try:
        read()
    except KmsError as error:
        require_refusal(error)
    else:
        assert accepted


@cache
def _hypervisor() -> tuple[Hypervisor, Attestations]:
    hypervisor = Hypervisor(NOW)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root.pem"
        root.write_bytes(hypervisor.root.pem)
        return hypervisor, Attestations([str(root)], 300.0, 300.0)


def _verify(identities: WebIdentities, token: str) -> WebIdentity:
    return identities.verify(read_token(token), None, NOW)


@cache
def _issuer() -> tuple[Issuer, WebIdentities]:
    folder = tempfile.mkdtemp(prefix="strongroom-fuzz-")
    atexit.register(shutil.rmtree, folder)
    issuer = Issuer(Path(folder) / "jwks.json", NOW)
    return issuer, WebIdentities((IdentityProvider(ISSUER, str(issuer.jwks), (AUDIENCE,)),))


@cache
def _public_key() -> bytes:
    return spki(rsa.generate_private_key(65537, 2048))


@cache
def _secrets() -> ServiceSecrets:
    seal = RootKeySeal(RootKey(bytes(32)), entropy)
    return ServiceSecrets(DomainKeys([create_domain_key(IAM_SCOPE, 1, seal, entropy)], seal, entropy))


@cache
def _audit_key() -> AuditKey:
    return AuditKey(bytes(32))
