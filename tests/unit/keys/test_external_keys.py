"""Tokens of external keys."""

import pytest

from strongroom.crypto.token_versions import domain_key_version
from strongroom.keys.external_keys import ExternalToken, external_material_id, external_token, parse_external_token

STORE = "cks-1234567890abcdef0"


@pytest.mark.parametrize("external_id", ["a", "x" * 128, "key-1_2.3"])
@pytest.mark.parametrize("inner", [b"\x01\x00\x00\x00\x02", b"\x01inner token", bytes(200)])
def test_a_token_has_its_parts(external_id: str, inner: bytes) -> None:
    token = external_token(STORE, external_id, inner)
    assert parse_external_token(token) == ExternalToken(STORE, external_id, inner)


WHOLE = external_token(STORE, "key-1", b"\x01\x00\x00\x00\x02inner")
NO_TOKENS = [
    *(WHOLE[:length] for length in range(len(WHOLE) - len("inner"))),
    # Another format, another domain key, and a name that is not ASCII.
    b"\x01" + WHOLE[1:],
    WHOLE[:4] + b"\x03" + WHOLE[5:],
    WHOLE[:6] + b"\xff" + WHOLE[7:],
]


@pytest.mark.parametrize("token", NO_TOKENS)
def test_what_is_no_token_is_refused(token: bytes) -> None:
    with pytest.raises(ValueError, match=r"it|ascii"):
        parse_external_token(token)


def test_a_token_shows_which_domain_key_it_needs() -> None:
    assert domain_key_version(WHOLE) == 2


def test_the_id_of_material_tells_stores_and_external_keys_apart() -> None:
    names = [("cks-1", "a"), ("cks-1", "b"), ("cks-2", "a"), ("cks-", "1a"), ("cks-1a", ""), ("", "cks-1a")]
    found = {external_material_id(*each) for each in names}
    assert len(found) == len(names)
    assert all(len(each) == 64 for each in found)
