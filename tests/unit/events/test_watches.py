"""What is noticed from outside of the workers: bursts of denied calls, and problems that begin and end."""

import json
from pathlib import Path

import pytest

from audit_disk import Disk
from strongroom.clock import ManualClock
from strongroom.events.denials import BurstCounter, DenialWatch
from strongroom.events.problem_watch import ProblemWatch
from strongroom.problems import Problem, Subject
from strongroom.store.audit.segment_source import Source

PLACE = {"node": "a1b2c3d4e5f6", "account": "000000000000", "region": "us-east-1"}
BOB, KEY = "arn:aws:iam::111122223333:user/bob", "arn:aws:kms:eu-west-1:111122223333:key/1"


def test_a_burst_is_so_many_denials_within_the_window_and_told_once() -> None:
    counter = BurstCounter(3, 60)
    assert [counter.note(BOB, now) for now in (0, 10, 20, 30, 61, 62, 63)] == [False, False, True] + [False] * 4
    # A quarter of an hour later it is told again.
    assert [counter.note(BOB, now) for now in (1000, 1001, 1002, 1003)] == [False, False, True, False]


def test_slow_denials_are_no_burst_and_subjects_are_counted_separately() -> None:
    counter = BurstCounter(3, 60)
    assert not any(counter.note(BOB, now) for now in range(0, 1000, 31))
    assert [counter.note(each, 2000) for each in (BOB, KEY, BOB, KEY, BOB, KEY)] == [False] * 4 + [True, True]


def test_a_burst_across_the_end_of_an_earlier_window_is_seen() -> None:
    counter = BurstCounter(4, 60)
    assert [counter.note(BOB, now) for now in (0, 58, 59, 62, 63)] == [False, False, False, False, True]


def test_bursts_of_very_many_principals_are_told_of_twenty_times() -> None:
    counter = BurstCounter(1, 60)
    assert sum(counter.note(f"arn:{number}", 100 + number) for number in range(500)) == 20
    # Those that were left out are not taken to be told of.
    assert counter.is_exhausted(999)
    assert not counter.is_exhausted(1000)
    assert counter.note("arn:499", 1000)


def test_many_denials_take_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("strongroom.events.denials._MOST_TIMES", 10)
    counter = BurstCounter(6, 60)
    for subject in (BOB, KEY):
        assert not any(counter.note(subject, 0) for _ in range(5))
    # The 11th denial: those of the first subject are forgotten.
    assert counter.note(KEY, 0)
    assert not counter.note(BOB, 0)


def test_a_clock_that_is_set_back_begins_a_new_window() -> None:
    counter = BurstCounter(2, 60)
    assert [counter.note(BOB, now) for now in (1000, 0, 1)] == [False, False, True]


def test_many_subjects_take_bounded_memory() -> None:
    counter = BurstCounter(2, 60)
    for number in range(20_000):
        assert not counter.note(f"arn:{number}", 0)
    assert not counter.note("arn:0", 0)
    assert counter.note("arn:19999", 0)


def record(code: str | None, name: str = "Encrypt", user: str = BOB) -> str:
    refusal = {} if code is None else {"errorCode": code}
    found = {
        "userIdentity": {"type": "IAMUser", "accountId": "111122223333", "arn": user},
        "eventSource": "kms.amazonaws.com",
        "eventName": name,
        "awsRegion": "eu-west-1",
        **refusal,
        "requestParameters": {"text": '"errorCode":"AccessDenied"'},
        "resources": [{"accountId": "111122223333", "type": "AWS::KMS::Key", "ARN": KEY}],
    }
    return json.dumps(found, separators=(",", ":"))


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(tmp_path / "audit", monkeypatch)


def test_denied_calls_are_counted_from_the_log_as_it_is_written(disk: Disk, clock: ManualClock) -> None:
    log = disk.open()
    for _ in range(5):
        log.append(record("AccessDenied").encode())
    log.flush()
    # What was there before is no news.
    watch = DenialWatch(Source(disk.folder, clock.now), BurstCounter(3, 60), "000000000000", clock.now)
    assert list(watch.look()) == []
    for code in ("AccessDenied", None, "ThrottlingException", "AccessDenied"):
        log.append(record(code).encode())
    log.flush()
    assert list(watch.look()) == []
    log.append(record("AccessDenied", "Decrypt").encode())
    log.append(b'{"not":"a record","errorCode":"AccessDenied"}')
    log.flush()
    principal, key = watch.look()
    assert principal.detail == {
        "principal-arn": BOB,
        "denials": 3,
        "window-seconds": 60,
        "last-event-name": "Decrypt",
        "last-event-source": "kms.amazonaws.com",
    }
    assert (principal.account, principal.region, principal.source) == ("111122223333", "eu-west-1", "strongroom")
    assert (key.resources, key.detail["key-arn"]) == ((KEY,), KEY)
    assert list(watch.look()) == []


def test_the_last_event_before_others_are_left_out_says_so(disk: Disk, clock: ManualClock) -> None:
    log = disk.open()
    log.append(record(None).encode())
    log.flush()
    watch = DenialWatch(Source(disk.folder, clock.now), BurstCounter(1, 60), "000000000000", clock.now)
    for number in range(25):
        log.append(record("AccessDenied", user=f"{BOB}{number}").encode())
    log.append(record("AccessDenied").encode().replace(b"Encrypt", b"\xff"))
    log.flush()
    events = list(watch.look())
    assert [each.detail.get("others-left-out") for each in events] == [None] * 19 + [True]


def test_a_problem_is_an_event_when_it_begins_and_when_it_has_ended_for_a_while(clock: ManualClock) -> None:
    current = [Problem(Subject.TOKEN, "the token does not answer")]
    watch = ProblemWatch(lambda: current, {}, PLACE, clock)
    (begun,) = watch.look()
    assert begun.detail_type == "HSM Unavailable"
    assert begun.detail == {"node": "a1b2c3d4e5f6", "subject": "token", "text": "the token does not answer"}
    current[:] = [Problem(Subject.TOKEN, "the token has no session"), Problem(Subject.STORE, "the disk is full")]
    assert [event.detail_type for event in watch.look()] == ["Problem"]
    current.clear()
    assert list(watch.look()) == []
    clock.advance(10)
    current.append(Problem(Subject.TOKEN, "the token does not answer"))
    assert list(watch.look()) == []
    current.clear()
    clock.advance(10)
    assert [event.detail["subject"] for event in watch.look()] == ["store"]
    clock.advance(15)
    (ended,) = watch.look()
    assert (ended.detail_type, ended.detail["subject"]) == ("HSM Available", "token")
    assert ended.id != begun.id
    assert watch.told == {}


def test_a_restart_repeats_no_problem_that_is_still_open(clock: ManualClock) -> None:
    current = [Problem(Subject.STORE, "the disk is full")]
    first = ProblemWatch(lambda: current, {}, PLACE, clock)
    assert len(list(first.look())) == 1
    assert list(ProblemWatch(lambda: current, first.told, PLACE, clock).look()) == []
