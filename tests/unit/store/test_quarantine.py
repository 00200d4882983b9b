"""The quarantine: each record is logged once, and the problem is open as long as there is any."""

from threading import Thread

import pytest
from typing_extensions import override

from strongroom.problems import Problems, Subject
from strongroom.store import quarantine as module
from strongroom.store.quarantine import Finding, Quarantine, printable

FORGED = "its stored record failed authentication"


def test_a_record_is_logged_once_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    problems, counts = Problems(), list[int]()
    quarantine = Quarantine(problems, counts.append)
    for record in ("key a", "key b", "key a"):
        quarantine.add(Finding(record, FORGED))
    assert counts == [1, 2]
    assert caplog.text.count("key a is not used: its stored record failed authentication; restore") == 1
    assert [each.subject for each in problems.current()] == [Subject.ROWS]
    quarantine.release("key c")
    quarantine.release("key a")
    assert problems.current() != []
    quarantine.release("key b")
    assert counts == [1, 2, 1, 0]
    assert problems.current() == []


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_REMEMBERED", 3)
    quarantine = Quarantine()
    for number in range(9):
        quarantine.add(Finding(f"key {number}", FORGED))
    assert len(quarantine) == 3


@pytest.mark.parametrize(
    ("value", "text"),
    [("alias/é", "alias/é"), ("a\nb", "'a\\nb'"), ("\udcff", "'\\udcff'"), (b"\xff", "b'\\xff'"), (7, "7")],
)
def test_a_damaged_value_is_named_on_one_line(value: object, text: str) -> None:
    assert printable(value) == text
    assert len(printable("x" * 10_000)) < 1000


def test_a_record_that_is_released_while_it_is_reported_leaves_no_problem() -> None:
    class Slow(Problems):
        @override
        def report(self, subject: Subject, text: str) -> None:
            releasing.start()
            releasing.join(0.1)
            super().report(subject, text)

    problems = Slow()
    quarantine = Quarantine(problems)
    releasing = Thread(target=quarantine.release, args=("key a",))
    quarantine.add(Finding("key a", FORGED))
    releasing.join()
    assert len(quarantine) == 0
    assert problems.current() == []
