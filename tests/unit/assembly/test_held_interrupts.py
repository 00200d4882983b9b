"""Ctrl-C at any write of the audit log of commands: the log stays whole, and says what is known of the change."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from audits import command_records
from local_deployment import LocalDeployment
from strongroom.assembly.held_interrupts import held_interrupts
from strongroom.assembly.open_folder import OpenFolder
from strongroom.audit.operator_events import OperatorEvent
from strongroom.clock import ManualClock
from strongroom.entropy import system_entropy
from warm_commands import strongroom

EVENT = OperatorEvent(name="AcceptClock", command="clock accept", account="000000000000", details={})
WRITES = ("pwrite", "fdatasync", "fsync")


@pytest.fixture(autouse=True)
def _as_in_a_command() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@contextmanager
def interrupted_at(step: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], bool]]:
    """Send SIGINT at the write or sync of that number; what is given tells whether it has come."""
    steps = 0

    def with_interrupt(act: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: object) -> object:
            nonlocal steps
            steps += 1
            if steps == step + 1:
                signal.raise_signal(signal.SIGINT)
            return act(*arguments)

        return run

    with monkeypatch.context() as patched:
        for name in WRITES:
            patched.setattr(os, name, with_interrupt(getattr(os, name)))
        yield lambda: steps > step


def test_an_interrupt_leaves_the_audit_log_whole(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = LocalDeployment(tmp_path / "data", clock)
    opened = OpenFolder(local.settings, clock, system_entropy)
    came, step, made = True, 0, 0
    while came:
        with interrupted_at(step, monkeypatch) as has_come:
            try:
                with opened.trail.changing(), opened.trail.recording(EVENT):
                    made += 1
            except KeyboardInterrupt:
                came = True
            else:
                came = has_come()
        step += 1
    assert step > 5
    opened.close()
    local.deployment.close()
    records = [each for each in command_records(local.folder) if each["eventName"] == EVENT.name]
    failed = [each for each in records if "errorCode" in each]
    assert len(records) - len(failed) == step
    assert {each["errorMessage"] for each in failed} == {"interrupted; the change may have been made"}
    # Those that were interrupted while the record of the change was written.
    assert len(failed) == step - made
    told = strongroom(local.folder, "audit", "verify")
    assert "The log is whole." in told.stdout, told.stdout


def interrupted(done: list[str], *, before: bool, released: bool) -> None:
    """Send SIGINT in a block that holds it back: before the part that is released, or in it."""
    with held_interrupts() as held:
        if before:
            signal.raise_signal(signal.SIGINT)
        if released:
            with held.released():
                signal.raise_signal(signal.SIGINT)
                done.append("released")
        done.append("held")


@pytest.mark.parametrize(
    ("before", "released", "done"), [(True, False, ["held"]), (True, True, []), (False, True, []), (False, False, None)]
)
def test_an_interrupt_comes_at_the_end_or_where_it_is_released(
    *, before: bool, released: bool, done: list[str] | None
) -> None:
    found = list[str]()
    if done is None:
        interrupted(found, before=before, released=released)
        assert found == ["held"]
    else:
        with pytest.raises(KeyboardInterrupt):
            interrupted(found, before=before, released=released)
        assert found == done
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_process_that_handles_the_signal_itself_goes_on_doing_so() -> None:
    came = []
    signal.signal(signal.SIGINT, lambda *_: came.append("own"))
    with held_interrupts() as held, held.released():
        signal.raise_signal(signal.SIGINT)
    assert came == ["own"]


def test_another_thread_changes_no_handler() -> None:
    found = []

    def look() -> None:
        with held_interrupts() as held, held.released():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler]
