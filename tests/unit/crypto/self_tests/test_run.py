"""Each self-test passes here, and fails when its primitive gives another answer."""

import time
from collections.abc import Mapping

import pytest
from msgspec.structs import replace

from strongroom.crypto.self_tests import run
from strongroom.crypto.self_tests.run import SELF_TESTS, SelfTestError, run_self_tests
from strongroom.crypto.self_tests.vectors import Vector, read_vectors

VECTORS = read_vectors()
CHANGED = [(name, field) for name, vector in VECTORS.items() for field in vector.values]


def test_all_pass_and_take_no_time_that_a_start_would_notice() -> None:
    run_self_tests()
    begun = time.process_time()
    run_self_tests()
    assert time.process_time() - begun < 0.2


@pytest.mark.parametrize(("name", "field"), CHANGED, ids=lambda each: each)
def test_a_vector_with_one_other_bit_fails(name: str, field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """So every value of every vector takes part in a test."""
    value = VECTORS[name][field]
    # In an RSA key, that is in the modulus; the library has no use for every part of it.
    place = len(value) // 8
    changed = value[:place] + bytes((value[place] ^ 1,)) + value[place + 1 :]
    other = replace(VECTORS[name], values={**VECTORS[name].values, field: changed})
    monkeypatch.setattr(run, "read_vectors", lambda: {**VECTORS, name: other})
    with pytest.raises(SelfTestError, match=r"the self-test of .* failed"):
        run_self_tests()


def test_a_wrong_answer_and_an_error_name_the_primitive() -> None:
    def broken(_vectors: Mapping[str, Vector]) -> bool:
        raise RuntimeError("no such algorithm")

    with pytest.raises(SelfTestError, match=r"the self-test of HMAC failed: "):
        run_self_tests({**SELF_TESTS, "HMAC": lambda _vectors: False})
    with pytest.raises(SelfTestError, match=r"the self-test of KBKDF failed \(RuntimeError\): "):
        run_self_tests({**SELF_TESTS, "KBKDF": broken})
