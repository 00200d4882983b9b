"""Tokens of external keys."""

import pytest

from strongroom.keys.external_keys import ExternalToken, external_material_id, external_token, parse_external_token

STORE = "cks-1234567890abcdef0"


@pytest.mark.parametrize("external_id", ["a", "x" * 128, "key-1_2.3"])
@pytest.mark.parametrize("inner", [b"", b"inner", bytes(200)])
def test_a_token_has_its_parts(external_id: str, inner: bytes) -> None:
    token = external_token(STORE, external_id, inner)
    assert parse_external_token(token) == ExternalToken(STORE, external_id, inner)


@pytest.mark.parametrize(
    "token", [b"", b"\x00", b"\x01", b"\x02\x01a\x01b", b"\x01\x05abc", b"\x01\x01a\x05b", b"\x01\x01\xff\x01b"]
)
def test_what_is_no_token_is_refused(token: bytes) -> None:
    with pytest.raises(ValueError, match=r"it|ascii"):
        parse_external_token(token)


def test_the_id_of_material_tells_stores_and_external_keys_apart() -> None:
    names = [("cks-1", "a"), ("cks-1", "b"), ("cks-2", "a"), ("cks-", "1a"), ("cks-1a", ""), ("", "cks-1a")]
    found = {external_material_id(*each) for each in names}
    assert len(found) == len(names)
    assert all(len(each) == 64 for each in found)
