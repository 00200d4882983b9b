import base64
import re

import pytest

from strongroom.crypto.access_keys import account_in_id, new_access_key
from strongroom.entropy import system_entropy


@pytest.mark.parametrize("prefix", ["AKIA", "ASIA"])
def test_an_access_key_looks_like_awss_and_is_drawn_at_random(prefix: str) -> None:
    drawn: list[int] = []

    def entropy(size: int) -> bytes:
        drawn.append(size)
        return bytes(range(size))

    key = new_access_key(prefix, entropy)
    # 80 bits for the id, 240 for the secret: all of it ends up in them.
    assert drawn == [10, 30]
    assert re.fullmatch(f"{prefix}[A-Z2-7]{{16}}", key.access_key_id)
    assert base64.b32decode(key.access_key_id[4:]) == bytes(range(10))
    assert re.fullmatch("[A-Za-z0-9+/]{40}", key.secret)
    assert base64.b64decode(key.secret) == bytes(range(30))


@pytest.mark.parametrize("account", ["000000000000", "000000000001", "111122223333", "999999999999"])
@pytest.mark.parametrize("fill", [0x00, 0xA5, 0xFF])
def test_its_id_names_the_account(account: str, fill: int) -> None:
    key = new_access_key("ASIA", lambda size: bytes((fill,)) * size, account)
    assert re.fullmatch("ASIA[A-Z2-7]{16}", key.access_key_id)
    assert account_in_id(key.access_key_id) == account


def test_the_ids_of_one_account_differ() -> None:
    ids = {new_access_key("AKIA", system_entropy, "111122223333").access_key_id for _ in range(1000)}
    assert len(ids) == 1000


@pytest.mark.parametrize("text", ["", "ASIA", "ASIA" + "A" * 16, "ASIA" + "1" * 16, "ASIA" + "\u00e9" * 16, "x" * 128])
def test_an_id_that_names_no_account(text: str) -> None:
    assert account_in_id(text) is None


def test_its_secret_is_not_printed() -> None:
    key = new_access_key("AKIA", bytes)
    assert repr(key) == f"NewAccessKey({key.access_key_id})"
    assert key.secret not in f"{key} {[key]}"
