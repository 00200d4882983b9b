"""The vectors of the self-tests are published ones, unchanged."""

import json

from self_test_vectors import TARGET, selected


def test_the_vectors_of_the_self_tests_are_the_published_ones() -> None:
    assert json.loads(TARGET.read_bytes()) == selected()
