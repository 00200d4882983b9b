"""The public keys of issuers as operators hand them in."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm

from issuers import Issuer, jwk
from strongroom.crypto.documents.issuer_keys import MAX_KEYS_SIZE, IssuerKeys, UnusableKeys, require_public_keys


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    return Issuer(tmp_path / "jwks.json", 1_790_000_000.0)


def test_what_an_issuer_publishes_is_accepted(issuer: Issuer) -> None:
    text = issuer.jwks.read_text()
    require_public_keys(text)
    assert {key.key_id for key in IssuerKeys().in_text(text).keys} == {"rsa", "ec"}


def test_keys_of_other_kinds_beside_a_usable_one(issuer: Issuer) -> None:
    require_public_keys(json.dumps({"keys": [jwk("rsa", issuer.keys["rsa"]), {"kty": "new"}]}))


@pytest.mark.parametrize(("key", "usable"), [(Ed25519PrivateKey.generate(), True), (Ed448PrivateKey.generate(), False)])
def test_of_edwards_curves_the_one_that_the_self_tests_know(
    key: Ed25519PrivateKey | Ed448PrivateKey, *, usable: bool
) -> None:
    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    curve = "Ed25519" if usable else "Ed448"
    encoded = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    text = json.dumps({"keys": [{"kty": "OKP", "crv": curve, "alg": "EdDSA", "x": encoded}]})
    if usable:
        require_public_keys(text)
    else:
        with pytest.raises(UnusableKeys, match=r"none of them is for one of the algorithms .*, EdDSA \(Ed25519\)"):
            require_public_keys(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not a JWK Set"),
        ("[]", "not a JWK Set"),
        ("{}", "not a JWK Set"),
        ('{"keys": []}', "not a JWK Set"),
        ('{"keys": 1}', "not a JWK Set"),
        ('{"keys": [1]}', "not a JWK Set"),
        ('{"keys": [{"kty": "new"}]}', "not a JWK Set"),
        ("[" * 10_000, "not a JWK Set"),
        ("-----BEGIN PUBLIC KEY-----", "not a JWK Set"),
        (" " * (MAX_KEYS_SIZE + 1), "more than 65536 bytes"),
    ],
)
def test_what_is_no_set_of_keys(text: str, why: str) -> None:
    with pytest.raises(UnusableKeys, match=why):
        require_public_keys(text)


def test_private_and_secret_keys_are_refused(issuer: Issuer) -> None:
    private: dict[str, Any] = RSAAlgorithm.to_jwk(issuer.keys["rsa"], as_dict=True)
    secret = {"kty": "oct", "k": base64.urlsafe_b64encode(b"secret").decode(), "alg": "HS256"}
    for key in (private, secret):
        with pytest.raises(UnusableKeys, match="private or secret key") as caught:
            require_public_keys(json.dumps({"keys": [jwk("rsa", issuer.keys["rsa"]), key]}))
        assert str(private["d"]) not in str(caught.value)


def test_keys_without_an_accepted_algorithm_are_refused(issuer: Issuer) -> None:
    key = jwk("rsa", issuer.keys["rsa"]) | {"alg": "RSA-OAEP"}
    with pytest.raises(UnusableKeys):
        require_public_keys(json.dumps({"keys": [key]}))
