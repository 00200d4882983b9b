"""The self-tests whose vectors are written down beside them: a wrong answer fails, an absent algorithm does not."""

from collections.abc import Callable

import pytest
from cryptography.exceptions import UnsupportedAlgorithm

from strongroom.crypto.self_tests import more_answers
from strongroom.crypto.self_tests.run import SELF_TESTS

TESTS = [name for name, test in SELF_TESTS.items() if getattr(test, "__module__", "") == more_answers.__name__]
CONSTANTS = {"PBKDF2": "_PBKDF2", "HKDF": "_HKDF", "Argon2id": "_ARGON2ID", "scrypt": "_SCRYPT"}


def other(digits: str) -> str:
    return digits[:-1] + ("0" if digits[-1] != "0" else "1")


@pytest.mark.parametrize("name", TESTS)
def test_a_wrong_answer_fails(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert SELF_TESTS[name]({})
    if name in CONSTANTS:
        monkeypatch.setattr(more_answers, CONSTANTS[name], other(getattr(more_answers, CONSTANTS[name])))
    elif name == "AES-256-CBC":
        monkeypatch.setitem(more_answers._CBC, "ciphertext", other(more_answers._CBC["ciphertext"]))
    else:
        monkeypatch.setitem(more_answers._CHACHA20, "sealed", other(more_answers._CHACHA20["sealed"]))
    assert not SELF_TESTS[name]({})


@pytest.mark.parametrize("name", ["Argon2id", "Scrypt", "ChaCha20Poly1305"])
def test_what_a_fips_provider_lacks_does_not_end_the_start(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(*_arguments: object, **_named: object) -> Callable[[], bytes]:
        raise UnsupportedAlgorithm(name)

    monkeypatch.setattr(more_answers, name, lacking)
    assert all(SELF_TESTS[each]({}) for each in TESTS)
