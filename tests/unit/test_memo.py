"""What is kept is bounded, and the newest is always there."""

from strongroom.memo import keep


def test_when_there_is_no_room_all_that_was_there_goes() -> None:
    known: dict[str, int] = {}
    assert [keep(known, name, number, 2) for number, name in enumerate("ab")] == [0, 1]
    assert known == {"a": 0, "b": 1}
    assert keep(known, "c", 2, 2) == 2
    assert known == {"c": 2}
