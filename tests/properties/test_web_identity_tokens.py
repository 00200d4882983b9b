"""Whatever JSON an issuer signs: the token is accepted, or refused with an error of AWS, and claims do not mix."""

import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from issuers import AUDIENCE, ISSUER, POD, Issuer
from strongroom.crypto.documents.web_identity import WebIdentities, WebIdentity, read_token
from strongroom.errors import KmsError
from strongroom.settings import IdentityProvider

NOW = 1_790_000_000.0
_folder = tempfile.TemporaryDirectory()
_issuer = Issuer(Path(_folder.name) / "jwks.json", NOW)
_identities = WebIdentities((IdentityProvider(ISSUER, str(_issuer.jwks), (AUDIENCE,)),))

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
names = st.sampled_from(["iss", "sub", "aud", "exp", "nbf", "alg", "kid", "typ", "crit", "b64", "SUB", "Aud", "groups"])
objects = st.dictionaries(names | st.text(max_size=4), values, max_size=5)


def outcome(header: dict[str, Any], claims: dict[str, Any]) -> WebIdentity | KmsError:
    try:
        return _identities.verify(read_token(_issuer.signed(json.dumps(header), json.dumps(claims))), None, NOW)
    except KmsError as error:
        return error


@given(header=objects, claims=objects)
def test_any_header_and_claims(header: dict[str, Any], claims: dict[str, Any]) -> None:
    good: dict[str, Any] = {"alg": "RS256", "kid": "rsa"}
    for each in (header, good, good | header):
        for said in (claims, _issuer.claims() | claims):
            found = outcome(each, said)
            if isinstance(found, KmsError):
                assert found.status < 500
                assert (found.message or "").encode()
            else:
                assert said["iss"] == ISSUER
                assert found.subject == said["sub"]


@given(name=st.text(min_size=1, max_size=6), value=st.text(min_size=1, max_size=6))
def test_no_other_claim_changes_who_it_is(name: str, value: str) -> None:
    """A claim can be refused or asked for under its own name; the registered ones stay what they are."""
    claims = {name: value} | _issuer.claims()
    found = outcome({"alg": "RS256", "kid": "rsa"}, claims)
    if isinstance(found, WebIdentity):
        assert found.claims["sub"] == (POD,)
        assert found.claims["aud"] == (AUDIENCE,)
        assert len({each.lower() for each in claims}) == len(claims)
