"""Random UUIDs have the right format and do not repeat; a source that repeats itself is found out."""

import itertools
import re
import uuid as standard

import pytest

from strongroom.entropy import CheckedEntropy, UuidBatch, system_entropy, uuid
from strongroom.errors import RandomSourceException

UUID4 = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def test_uuids_are_version_4_and_unique() -> None:
    batch = UuidBatch(system_entropy)
    made = [batch() for _ in range(2000)] + [uuid(system_entropy) for _ in range(100)]
    assert len(set(made)) == len(made)
    assert all(UUID4.fullmatch(each) for each in made)
    assert {standard.UUID(each).version for each in made} == {4}


def test_a_source_that_does_not_repeat_itself_passes_unchanged() -> None:
    numbers = (number.to_bytes(16) for number in itertools.count())
    drawn = b"".join(itertools.islice(numbers, 1000))
    at = iter(range(0, len(drawn), 16))

    def source(length: int) -> bytes:
        start = next(at)
        for _ in range((length - 1) // 16):
            next(at)
        return drawn[start : start + length]

    checked = CheckedEntropy(source)
    assert checked(32) == drawn[16:48]
    assert checked(5) == drawn[48:53]
    assert not checked.failed
    working = CheckedEntropy(system_entropy)
    assert len({working(length) for length in (1, 7, 12, 16, 17, 32, 7168)}) == 7


@pytest.mark.parametrize(
    "blocks",
    [
        pytest.param([b"a", b"a"], id="with the first draw"),
        pytest.param([b"a", b"b", b"b"], id="with the draw before"),
        pytest.param([b"a", b"bccd"], id="within one draw"),
        pytest.param([b"a", b"bc", b"cd"], id="with the end of the draw before"),
    ],
)
def test_a_source_that_repeats_itself_gives_nothing_more(blocks: list[bytes]) -> None:
    draws = iter(b"".join(bytes((letter,)) * 16 for letter in draw) for draw in blocks)
    later = iter(number.to_bytes(16) for number in itertools.count())
    checked = CheckedEntropy(lambda _length: next(draws, None) or next(later))
    for draw in blocks[1:-1]:
        checked(16 * len(draw))
    with pytest.raises(RandomSourceException):
        checked(16 * len(blocks[-1]))
    assert checked.failed
    with pytest.raises(RandomSourceException):
        checked(16)
