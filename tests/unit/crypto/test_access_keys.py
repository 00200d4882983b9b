import base64
import re

import pytest

from strongroom.crypto.access_keys import new_access_key


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


def test_its_secret_is_not_printed() -> None:
    key = new_access_key("AKIA", bytes)
    assert repr(key) == f"NewAccessKey({key.access_key_id})"
    assert key.secret not in f"{key} {[key]}"
