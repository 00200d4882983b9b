"""A database is compared with what the audit log notes of it."""

import pytest

from strongroom.audit.database_history import DatabaseNote, DatabasePosition, Lapse, find_set_back

FIRST, SECOND = "0" * 15 + "1", "0" * 15 + "2"
TIME = "2026-11-29T01:02:03Z"


def note(history: int, history_id: str, change: int) -> DatabaseNote:
    return DatabaseNote(DatabasePosition(history, history_id, change), TIME)


NOTES = (note(1, FIRST, 5), note(1, FIRST, 97), note(1, FIRST, 60))
ACCEPTED = (*NOTES, note(2, SECOND, 41))


@pytest.mark.parametrize(
    ("notes", "position"),
    [
        ((), DatabasePosition(1, FIRST, 0)),
        (NOTES, DatabasePosition(1, FIRST, 97)),
        (NOTES, DatabasePosition(1, FIRST, 98)),
        (ACCEPTED, DatabasePosition(2, SECOND, 41)),
    ],
)
def test_a_database_with_all_that_was_committed_is_not_set_back(
    notes: tuple[DatabaseNote, ...], position: DatabasePosition
) -> None:
    assert find_set_back(notes, position) is None


def test_another_node_may_have_decided_to_go_on() -> None:
    """The log of this one ends in the history before."""
    position = DatabasePosition(2, SECOND, 41)
    assert find_set_back(NOTES, position, {1: FIRST}) is None
    for earlier in ({1: SECOND}, {2: FIRST}):
        found = find_set_back(NOTES, position, earlier)
        assert found is not None
        assert found.lapse is Lapse.OTHER_HISTORY
    # What is in the present history is compared all the same.
    found = find_set_back(ACCEPTED, DatabasePosition(2, SECOND, 40), {1: FIRST})
    assert found is not None
    assert found.lapse is Lapse.LOST_CHANGES


@pytest.mark.parametrize(
    ("notes", "position", "lapse"),
    [
        (NOTES, DatabasePosition(1, FIRST, 96), Lapse.LOST_CHANGES),
        (NOTES, DatabasePosition(1, FIRST, 0), Lapse.LOST_CHANGES),
        (NOTES, DatabasePosition(1, SECOND, 200), Lapse.OTHER_HISTORY),
        # An acceptance that was interrupted before the log noted it: the operator has to accept it again.
        (NOTES, DatabasePosition(2, SECOND, 41), Lapse.OTHER_HISTORY),
        (ACCEPTED, DatabasePosition(1, FIRST, 97), Lapse.OLDER_HISTORY),
        (ACCEPTED, DatabasePosition(2, SECOND, 40), Lapse.LOST_CHANGES),
    ],
)
def test_a_database_that_lacks_something_is(
    notes: tuple[DatabaseNote, ...], position: DatabasePosition, lapse: Lapse
) -> None:
    found = find_set_back(notes, position)
    assert found is not None
    assert found.lapse is lapse
    assert "history" in found.text or "acknowledged changes are missing" in found.text


def test_the_text_says_what_is_older_than_what() -> None:
    found = find_set_back(NOTES, DatabasePosition(1, FIRST, 41))
    assert found is not None
    assert found.text == (
        "the database is older than the audit log: it ends with change 41, and by 2026-11-29T01:02:03Z change 97 was "
        "committed; 56 acknowledged changes are missing"
    )
