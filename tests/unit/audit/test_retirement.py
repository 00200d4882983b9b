"""Statements that a node was lost with its disk: who may make them, and what they say is lost."""

import msgspec
import pytest

from strongroom.audit.archive import Statements
from strongroom.audit.operator_events import AUDIT_SOURCE, OperatorEvent
from strongroom.audit.retirement import RETIRED, LastLine, LostChain, Retirement, reinstate_event, retire_event
from strongroom.node_id import NodeId

NODE, OTHER, THIRD = NodeId("a1b2c3d4e5f6"), NodeId("0123456789ab"), NodeId("0123456789ac")
RUNNING = LastLine(f"{NODE}w0", 10, "2026-09-21T14:13:20Z", stopped=False)
STOPPED = LastLine(f"{NODE}cli", 4, "2026-09-21T12:00:00Z", stopped=True)
NEVER_SIGNED = LastLine("w1", 0, "", stopped=False)


def record(retirement: Retirement, *, failed: bool = False, source: str = AUDIT_SOURCE) -> bytes:
    event = retire_event(retirement)
    assert (event.name, event.source) == (RETIRED, AUDIT_SOURCE)
    return record_of(event, failed=failed, source=source)


def record_of(event: OperatorEvent, *, failed: bool = False, source: str = AUDIT_SOURCE) -> bytes:
    body = {"eventName": event.name, "eventSource": source, "eventTime": "2026-09-22T00:00:00Z"}
    body |= {"errorCode": "CommandFailed"} if failed else {}
    return msgspec.json.encode(body | {"serviceEventDetails": event.details})


def stated(speaker: str, *records: bytes) -> dict[str, LostChain]:
    statements = Statements()
    for each in records:
        statements.add(speaker, each)
    return statements.lost


def test_the_commands_of_another_node_state_what_is_lost() -> None:
    retirement = Retirement(NODE, [RUNNING, STOPPED, NEVER_SIGNED])
    lost = stated(f"{OTHER}cli", record(retirement))
    assert {writer: each.last for writer, each in lost.items()} == {each.writer: each for each in retirement.chains}
    assert {(each.node, each.time) for each in lost.values()} == {(NODE, "2026-09-22T00:00:00Z")}


@pytest.mark.parametrize(
    ("speaker", "retirement"),
    [
        (f"{NODE}cli", Retirement(NODE, [RUNNING])),
        (f"{OTHER}w0", Retirement(NODE, [RUNNING])),
        ("w0", Retirement(NODE, [RUNNING])),
        ("?", Retirement(NODE, [RUNNING])),
        (f"{OTHER}cli", Retirement(NODE, [RUNNING, msgspec.structs.replace(RUNNING, writer=f"{OTHER}w0")])),
        (f"{OTHER}cli", Retirement(NODE, [msgspec.structs.replace(RUNNING, writer="?")])),
    ],
)
def test_no_other_writer_does_and_about_no_other_chains(speaker: str, retirement: Retirement) -> None:
    assert stated(speaker, record(retirement)) == {}


def test_a_command_that_has_failed_states_nothing() -> None:
    retirement = Retirement(NODE, [RUNNING])
    assert stated(f"{OTHER}cli", record(retirement), record(retirement, failed=True)) == {}
    again = record(retirement), record(retirement, failed=True), record(retirement)
    assert set(stated(f"{OTHER}cli", *again)) == {RUNNING.writer}
    assert stated(f"{OTHER}cli", record(retirement, source="kms.amazonaws.com")) == {}
    assert stated(f"{OTHER}cli", record(retirement).replace(b'"sequence":10', b'"sequence":"x"')) == {}


@pytest.mark.parametrize(
    ("steps", "is_lost"),
    [
        ("r", True),
        ("r u", False),
        ("r u!", True),
        ("r u u!", False),
        ("r u! u", False),
        ("r u! u!", True),
        ("r u r", True),
        ("r u r!", False),
        ("r u r! u!", False),
        ("r r!", True),
        ("r! u!", False),
        ("r u r u! u u!", False),
    ],
)
def test_a_command_that_has_failed_changes_nothing_of_what_was_stated_before(steps: str, *, is_lost: bool) -> None:
    """Each step is a retirement or its undoing; ``!`` is one that fails, which a second record says."""
    retirement, records = Retirement(NODE, [RUNNING, STOPPED]), []
    for step in steps.split():
        event = retire_event(retirement) if step[0] == "r" else reinstate_event(NODE)
        records += [record_of(event, failed=failed) for failed in ([False, True] if "!" in step else [False])]
    assert set(stated(f"{OTHER}cli", *records)) == ({RUNNING.writer, STOPPED.writer} if is_lost else set())


def test_what_one_node_takes_back_stays_as_another_states_it() -> None:
    retirement = record(Retirement(NODE, [RUNNING]))
    for speakers in ((OTHER, THIRD), (THIRD, OTHER)):
        statements = Statements()
        for speaker in speakers:
            statements.add(f"{speaker}cli", retirement)
        statements.add(f"{OTHER}cli", record_of(reinstate_event(NODE)))
        assert set(statements.lost) == {RUNNING.writer}
        assert [statements.retires(f"{each}cli", NODE) for each in (OTHER, THIRD)] == [False, True]


@pytest.mark.parametrize(
    ("last", "found", "words"),
    [
        (RUNNING, 0, "lines 1 to 10 of writer {0}w0, up to {1}, are lost, and those that it may have written after"),
        (RUNNING, 7, "lines 8 to 10 of writer {0}w0, up to {1}, are lost, and those that it may have written after"),
        (RUNNING, 10, "what writer {0}w0 may have written after line 10 is lost"),
        (RUNNING, 12, "what writer {0}w0 may have written after line 12 is lost"),
        (STOPPED, 3, "lines 4 to 4 of writer {0}cli, up to 2026-09-21T12:00:00Z, are lost"),
        (NEVER_SIGNED, 0, "what writer w1 may have written after line 0 is lost"),
        (STOPPED, 4, ""),
    ],
)
def test_the_words_say_what_is_lost(last: LastLine, found: int, words: str) -> None:
    said = LostChain(NODE, "2026-09-22T00:00:00Z", last).words(found)
    whole = f"node {NODE} was retired at 2026-09-22T00:00:00Z: {words.format(NODE, last.time)}" if words else ""
    assert said.startswith(whole)
    assert bool(said) == bool(words)
    assert last.stopped is False or "may have" not in said
