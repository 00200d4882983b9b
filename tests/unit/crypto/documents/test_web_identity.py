"""Web identity tokens: valid ones are accepted, and known forgeries are refused."""

import base64
import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from issuers import AUDIENCE, ISSUER, POD, PROVIDER, Issuer, jwk
from strongroom.crypto.documents.web_identity import WebIdentities, WebIdentity, read_token
from strongroom.errors import (
    ExpiredTokenException,
    IDPCommunicationErrorException,
    IDPRejectedClaimException,
    InvalidIdentityTokenException,
)
from strongroom.iam.entities import OpenIdConnectProvider
from strongroom.settings import IdentityProvider, IdentityProviderKeys

NOW = 1_790_000_000.0
UNVERIFIED = "Couldn't verify the web identity token."


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    return Issuer(tmp_path / "jwks.json", NOW)


@pytest.fixture
def identities(issuer: Issuer) -> WebIdentities:
    return WebIdentities((IdentityProvider(ISSUER, str(issuer.jwks), (AUDIENCE, "strongroom")),))


def verified(
    identities: WebIdentities, token: str, now: float, own: OpenIdConnectProvider | None = None
) -> WebIdentity:
    return identities.verify(read_token(token), own, now)


def refused(identities: WebIdentities, token: str) -> str:
    """Return why a token that must not be accepted is refused."""
    with pytest.raises(InvalidIdentityTokenException) as caught:
        verified(identities, token, NOW)
    return str(caught.value)


@pytest.mark.parametrize("key_id", ["rsa", "ec"])
def test_a_good_token(issuer: Issuer, identities: WebIdentities, key_id: str) -> None:
    identity = verified(identities, issuer.token(key_id, groups=["a", "b"], admin=True), NOW)
    assert (identity.issuer, identity.provider, identity.subject, identity.audience) == (
        ISSUER,
        PROVIDER,
        POD,
        AUDIENCE,
    )
    assert identity.claims == {"iss": (ISSUER,), "aud": (AUDIENCE,), "sub": (POD,), "groups": ("a", "b")}


def test_an_edwards_key(issuer: Issuer, identities: WebIdentities) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    public = {"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": base64.urlsafe_b64encode(raw).rstrip(b"=").decode()}
    issuer.jwks.write_text(json.dumps({"keys": [public]}))
    token = jwt.encode(issuer.claims(), key, "EdDSA", {"kid": "ed"})
    assert verified(identities, token, NOW).subject == POD


@pytest.mark.parametrize("audience", ["strongroom", ["elsewhere", "strongroom"]])
def test_any_configured_audience_will_do(issuer: Issuer, identities: WebIdentities, audience: object) -> None:
    assert verified(identities, issuer.token(aud=audience), NOW).audience == "strongroom"


# --- time, with a minute for clocks that differ


@pytest.mark.parametrize(
    ("claims", "at"),
    [
        ({"exp": NOW + 10}, NOW + 69),
        ({"nbf": NOW + 50}, NOW),
        ({"nbf": None}, NOW),
        ({"iat": NOW + 10_000}, NOW),
    ],
)
def test_in_time(issuer: Issuer, identities: WebIdentities, claims: dict[str, Any], at: float) -> None:
    assert verified(identities, issuer.token(**claims), at).subject == POD


def test_too_late(issuer: Issuer, identities: WebIdentities) -> None:
    with pytest.raises(ExpiredTokenException, match="Token expired: current date/time 1790000071 must be before"):
        verified(identities, issuer.token(exp=NOW + 10), NOW + 71)


@pytest.mark.parametrize(
    "claims",
    [
        {"nbf": NOW + 61},
        {"exp": None},
        {"exp": "tomorrow"},
        {"exp": float("inf")},
        {"exp": float("nan")},
        {"exp": 10**400},
        {"nbf": [NOW]},
    ],
)
def test_not_at_a_time_that_can_be_told(issuer: Issuer, identities: WebIdentities, claims: dict[str, Any]) -> None:
    assert refused(identities, issuer.token(**claims)).startswith("The web identity token ")


# --- claims


def test_an_unknown_issuer(issuer: Issuer, identities: WebIdentities) -> None:
    for name in ("https://oidc.example.com/id/OTHER", ISSUER + "/", "http://oidc.example.com/id/CLUSTER", PROVIDER):
        message = f"No OpenIDConnect provider found in your account for {name}"
        assert refused(identities, issuer.token(iss=name)) == message
    refused(identities, issuer.token(iss=None))


@pytest.mark.parametrize("audience", [None, "", "elsewhere", ["elsewhere"], [], [[AUDIENCE]], "sts.amazonaws.com.evil"])
def test_a_wrong_audience(issuer: Issuer, identities: WebIdentities, audience: object) -> None:
    assert refused(identities, issuer.token(aud=audience)) == "Incorrect token audience"


@pytest.mark.parametrize("subject", [None, ""])
def test_nobody(issuer: Issuer, identities: WebIdentities, subject: object) -> None:
    with pytest.raises(IDPRejectedClaimException):
        verified(identities, issuer.token(sub=subject), NOW)


# --- signatures


def test_a_stranger_signs(issuer: Issuer, identities: WebIdentities) -> None:
    stranger = rsa.generate_private_key(65_537, 2048)
    for key_id in ("rsa", "ec"):
        assert refused(identities, jwt.encode(issuer.claims(), stranger, "RS256", {"kid": key_id})) == UNVERIFIED
    curve = ec.generate_private_key(ec.SECP256R1())
    assert refused(identities, jwt.encode(issuer.claims(), curve, "ES256", {"kid": "ec"})) == UNVERIFIED


def test_a_changed_token(issuer: Issuer, identities: WebIdentities) -> None:
    header, payload, signature = issuer.token().split(".")
    other = issuer.token(sub="system:serviceaccount:kube-system:admin").split(".")[1]
    for forged in ((header, other, signature), (header, payload, signature[:-4]), (header, payload, "")):
        assert refused(identities, ".".join(forged)) == UNVERIFIED


def test_an_unsigned_token(issuer: Issuer, identities: WebIdentities) -> None:
    _, payload, _ = issuer.token().split(".")
    for name in ("none", "None", "NONE", ""):
        for key in ({"kid": "rsa"}, {}):
            assert refused(identities, f"{encoded({'alg': name, **key})}.{payload}.") == UNVERIFIED


@pytest.mark.parametrize("form", ["pem", "jwk"])
def test_a_public_key_is_not_a_shared_secret(issuer: Issuer, identities: WebIdentities, form: str) -> None:
    """The confusion that RFC 8725, 3.1 warns of: HS256 with the public key for its secret."""
    public = issuer.keys["rsa"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    secret = public if form == "pem" else json.dumps(jwk("rsa", issuer.keys["rsa"])).encode()
    signing_input = f"{encoded({'alg': 'HS256', 'typ': 'JWT', 'kid': 'rsa'})}.{encoded(issuer.claims())}"
    hmac = jwt.get_algorithm_by_name("HS256")
    # Past PyJWT's own guard, which refuses to sign with such a secret.
    signature = hmac.sign(signing_input.encode(), secret)
    token = f"{signing_input}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
    assert refused(identities, token) == UNVERIFIED


def test_a_shared_secret_in_the_list_of_keys_is_never_used(issuer: Issuer, identities: WebIdentities) -> None:
    secret = b"a secret of thirty-two bytes ..."
    shared = {"kty": "oct", "kid": "shared", "alg": "HS256", "k": base64.urlsafe_b64encode(secret).decode()}
    issuer.jwks.write_text(json.dumps({"keys": [shared, jwk("rsa", issuer.keys["rsa"])]}))
    refused(identities, jwt.encode(issuer.claims(), secret, "HS256", {"kid": "shared"}))
    assert verified(identities, issuer.token(), NOW).subject == POD


def test_a_key_is_used_with_its_own_algorithm_only(issuer: Issuer, identities: WebIdentities) -> None:
    for algorithm in ("RS512", "PS256"):
        token = jwt.encode(issuer.claims(), issuer.keys["rsa"], algorithm, {"kid": "rsa"})
        assert refused(identities, token) == UNVERIFIED


def test_an_embedded_key_is_not_trusted(issuer: Issuer, identities: WebIdentities) -> None:
    stranger = rsa.generate_private_key(65_537, 2048)
    headers = {"kid": "rsa", "jwk": jwk("rsa", stranger), "jku": "https://evil.example/jwks"}
    assert refused(identities, jwt.encode(issuer.claims(), stranger, "RS256", headers)) == UNVERIFIED


# --- names that can be read in two ways

PROBLEM = "The web identity token has claims whose names differ in case alone."


@pytest.mark.parametrize(
    "claims",
    [
        {"SUB": "system:serviceaccount:bank:vault"},
        {"Aud": ["elsewhere"]},
        {"ISS": "https://evil.example"},
        {"groups": ["users"], "Groups": ["admins"]},
        {"k": "a", "\u212a": "b"},
        {"GROUPS": 1, "groups": ["users"]},
    ],
)
def test_claims_whose_names_collide(issuer: Issuer, identities: WebIdentities, claims: dict[str, Any]) -> None:
    assert refused(identities, issuer.token(**claims)) == PROBLEM


@pytest.mark.parametrize(
    "payload",
    [
        '{"sub": "%(sub)s", "sub": "system:serviceaccount:bank:vault", %(rest)s}',
        '{"sub": "%(sub)s", "sub": "%(sub)s", %(rest)s}',
        '{"sub": "%(sub)s", "aud": "elsewhere", %(rest)s}',
        '{"sub": "%(sub)s", "s\\u0075b": "system:serviceaccount:bank:vault", %(rest)s}',
        '{"sub": "%(sub)s", "more": {"a": 1, "a": 2}, %(rest)s}',
        '{"sub": "%(sub)s", "more": [{"a": 1, "a": 2}], %(rest)s}',
    ],
)
def test_members_that_are_there_twice(issuer: Issuer, identities: WebIdentities, payload: str) -> None:
    rest = json.dumps({name: value for name, value in issuer.claims().items() if name != "sub"})[1:-1]
    text = payload % {"sub": POD, "rest": rest}
    assert refused(identities, issuer.signed('{"alg": "RS256", "kid": "rsa"}', text)) == UNVERIFIED


@pytest.mark.parametrize(
    "header",
    [
        '{"alg": "RS256", "kid": "other", "kid": "rsa"}',
        '{"alg": "none", "alg": "RS256", "kid": "rsa"}',
        '{"alg": "RS256", "kid": "rsa", "x": {"y": 1, "y": 1}}',
    ],
)
def test_a_header_with_a_member_twice(issuer: Issuer, identities: WebIdentities, header: str) -> None:
    claims = json.dumps(issuer.claims())
    assert refused(identities, issuer.signed(header, claims)) == UNVERIFIED
    assert verified(identities, issuer.signed('{"alg": "RS256", "kid": "rsa"}', claims), NOW).subject == POD


def test_a_registered_claim_counts_under_its_exact_name_only(issuer: Issuer, identities: WebIdentities) -> None:
    token = issuer.token(AMR=["mfa"], Email="root@example.com", Team="red")
    assert verified(identities, token, NOW).claims == {
        "iss": (ISSUER,),
        "aud": (AUDIENCE,),
        "sub": (POD,),
        "team": ("red",),
    }
    with pytest.raises(IDPRejectedClaimException):
        verified(identities, issuer.token(sub=None, SUB=POD), NOW)
    assert refused(identities, issuer.token(aud=None, AUD=AUDIENCE)) == "Incorrect token audience"
    refused(identities, issuer.token(iss=None, ISS=ISSUER))


# --- providers that an account has made


def own_provider(*client_ids: str, keys: str | None = None) -> OpenIdConnectProvider:
    return OpenIdConnectProvider(
        account="111122223333", name=PROVIDER, unique_id="OIDC1", created_at=NOW, client_ids=client_ids, keys=keys
    )


def test_the_keys_of_an_accounts_own_provider(issuer: Issuer) -> None:
    published = issuer.jwks.read_text()
    own = own_provider("app", keys=published)
    nothing_set = WebIdentities()
    identity = verified(nothing_set, issuer.token(aud="app"), NOW, own)
    assert (identity.issuer, identity.provider, identity.audience) == (ISSUER, PROVIDER, "app")
    with pytest.raises(InvalidIdentityTokenException, match="Couldn't retrieve verification key"):
        verified(nothing_set, issuer.token(aud="app"), NOW, own_provider("app"))
    # Keys that are set come before those of a file.
    in_file = WebIdentities((), (IdentityProviderKeys(ISSUER, str(issuer.jwks)),))
    assert verified(in_file, issuer.token(aud="app"), NOW, own_provider("app")).subject == POD
    issuer.add("new", rsa.generate_private_key(65_537, 2048))
    assert verified(in_file, issuer.token("new", aud="app"), NOW, own_provider("app")).subject == POD
    with pytest.raises(InvalidIdentityTokenException, match="a key the issuer does not list"):
        verified(in_file, issuer.token("new", aud="app"), NOW, own)


def test_the_audiences_of_an_accounts_own_provider(issuer: Issuer, identities: WebIdentities) -> None:
    """They replace those of a provider in the settings, whose keys are used where none are set."""
    assert verified(identities, issuer.token(aud="app"), NOW, own_provider("app")).audience == "app"
    for token, own in ((issuer.token(), own_provider("app")), (issuer.token(), own_provider())):
        with pytest.raises(InvalidIdentityTokenException, match="Incorrect token audience"):
            verified(identities, token, NOW, own)


def test_keys_alone_make_no_provider(issuer: Issuer) -> None:
    identities = WebIdentities((), (IdentityProviderKeys(ISSUER, str(issuer.jwks)),))
    assert refused(identities, issuer.token()).startswith("No OpenIDConnect provider found in your account")


# --- keys that come and go


def test_an_unknown_key_id(issuer: Issuer, identities: WebIdentities) -> None:
    token = jwt.encode(issuer.claims(), issuer.keys["rsa"], "RS256", {"kid": "other"})
    assert refused(identities, token) == "The web identity token is signed with a key the issuer does not list."


def test_rotated_keys_are_picked_up(issuer: Issuer, identities: WebIdentities) -> None:
    old = issuer.token()
    verified(identities, old, NOW)
    issuer.add("next", rsa.generate_private_key(65_537, 2048))
    for token in (old, issuer.token("next")):
        verified(identities, token, NOW)
    del issuer.keys["rsa"]
    issuer.publish()
    refused(identities, old)
    verified(identities, issuer.token("next"), NOW)


@pytest.mark.parametrize(
    "content", [None, "", "[]", "{}", '{"keys": []}', '{"keys": {}}', "[" * 10_000, "\x00", '{"keys": [{"kty": 1}]}']
)
def test_keys_that_cannot_be_read(
    issuer: Issuer, identities: WebIdentities, content: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    if content is None:
        issuer.jwks.unlink()
    else:
        issuer.jwks.write_text(content)
    with pytest.raises(IDPCommunicationErrorException, match=f"The keys of {ISSUER} cannot be read."):
        verified(identities, issuer.token(), NOW)
    assert f"cannot be read from {issuer.jwks}" in caplog.text


# --- what is no token at all


@pytest.mark.parametrize(
    "token",
    [
        "",
        "....",
        "a.b.c",
        "\u00e9.\u00e9.\u00e9",
        "e30.e30.e30",
        "bnVsbA.bnVsbA.bnVsbA",
        "W10.W10.W10",
        "eyJhbGciOm51bGx9.e30.",
    ],
)
def test_no_token(identities: WebIdentities, token: str) -> None:
    refused(identities, token)


@pytest.mark.parametrize(
    ("header", "claims"),
    [
        ("{}", '{"iss": "\\ud800"}'),
        ("{}", '{"iss": "a", "sub": ["\\udfff"]}'),
        ("{}", '{"iss": "a", "\\ud800": 1}'),
        ('{"kid": "\\ud800"}', '{"iss": "a"}'),
    ],
)
def test_half_a_surrogate_pair_is_no_text(issuer: Issuer, identities: WebIdentities, header: str, claims: str) -> None:
    assert refused(identities, issuer.signed(header, claims)) == UNVERIFIED


def test_a_message_does_not_show_all_of_a_long_issuer(issuer: Issuer, identities: WebIdentities) -> None:
    assert len(refused(identities, issuer.token(iss="https://" + "x" * 9_000))) < 400


@pytest.mark.parametrize("part", ["header", "payload"])
def test_json_nested_too_deeply(identities: WebIdentities, part: str) -> None:
    deep = base64.urlsafe_b64encode(b'{"iss":' + b"[" * 7_000).decode()
    parts = [deep, "e30", "e30"] if part == "header" else [encoded({"alg": "RS256"}), deep, "e30"]
    refused(identities, ".".join(parts))


def encoded(value: object) -> str:
    """Return a value as a part of a token."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
