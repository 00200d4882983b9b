"""The gate of a key store: how many calls it lets through, and when it refuses."""

import logging
import threading
import time
from collections.abc import Callable

import pytest

from strongroom.crypto.xks.gate import Gate, Gates
from strongroom.errors import ThrottlingException
from strongroom.http.outgoing import Deadline
from strongroom.keys.xks_failures import XksError, XksFailure

PATIENCE = 60.0


def soon() -> Deadline:
    return Deadline(time.perf_counter, 0.05)


def patient() -> Deadline:
    return Deadline(time.perf_counter, PATIENCE)


def call(gate: Gate, failure: XksFailure | None = None) -> None:
    with gate.passed(soon()):
        if failure is not None:
            raise XksError(failure)


def fail(gate: Gate, failure: XksFailure, times: int) -> None:
    for _ in range(times):
        with pytest.raises(XksError):
            call(gate, failure)


def until(condition: Callable[[], bool]) -> None:
    end = time.perf_counter() + PATIENCE
    while not condition():
        assert time.perf_counter() < end
        time.sleep(0.001)


def is_failing(gate: Gate) -> bool:
    """Return whether it is failing now, which a type checker does not expect to change."""
    return gate.failing


class Held:
    """Calls that are under way on threads until ``release``."""

    def __init__(self, gate: Gate, count: int, failure: XksFailure | None = None) -> None:
        self._go = threading.Event()
        self.outcomes: list[str] = []

        def run() -> None:
            try:
                with gate.passed(patient()):
                    self.outcomes.append("in")
                    self._go.wait(PATIENCE)
                    if failure is not None:
                        raise XksError(failure)  # noqa: TRY301 - as a call does
            except XksError:
                pass
            except ThrottlingException:
                self.outcomes.append("refused")

        self._threads = [threading.Thread(target=run) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def release(self) -> None:
        self._go.set()
        for thread in self._threads:
            thread.join()


def test_calls_beyond_the_limit_wait_for_their_turn() -> None:
    gate = Gate("store", 2)
    held = Held(gate, 5)
    until(lambda: held.outcomes == ["in"] * 2)
    with pytest.raises(ThrottlingException):
        call(gate)
    held.release()
    assert held.outcomes == ["in"] * 5
    call(gate)


@pytest.mark.parametrize("failure", [XksFailure.TIMED_OUT, XksFailure.UNREACHABLE, XksFailure.TLS_FAILED])
def test_a_proxy_that_does_not_answer_gets_two_calls_at_a_time(
    failure: XksFailure, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate("custom key store cks-1", 8)
    fail(gate, failure, 2)
    assert not is_failing(gate)
    fail(gate, failure, 1)
    assert is_failing(gate)
    assert "proxy of custom key store cks-1 does not answer" in caplog.text
    held = Held(gate, 2)
    until(lambda: len(held.outcomes) == 2)
    begun = time.perf_counter()
    with pytest.raises(ThrottlingException), gate.passed(patient()):
        pass
    assert time.perf_counter() - begun < PATIENCE / 2
    with caplog.at_level(logging.INFO):
        held.release()
    assert not gate.failing
    assert "proxy of custom key store cks-1 answers again" in caplog.text


def test_those_who_wait_are_refused_when_a_proxy_stops_answering() -> None:
    gate = Gate("store", 4)
    held = Held(gate, 4, XksFailure.TIMED_OUT)
    until(lambda: len(held.outcomes) == 4)
    waiting = Held(gate, 10)
    held.release()
    until(lambda: waiting.outcomes.count("refused") >= 6)
    assert is_failing(gate)
    waiting.release()
    assert not is_failing(gate)


@pytest.mark.parametrize("failure", [XksFailure.INTERNAL, XksFailure.THROTTLING, XksFailure.MALFORMED])
def test_a_proxy_that_answers_with_errors_answers(failure: XksFailure) -> None:
    gate = Gate("store", 1)
    fail(gate, failure, 10)
    assert not gate.failing
    fail(gate, XksFailure.TIMED_OUT, 2)
    fail(gate, failure, 1)
    fail(gate, XksFailure.TIMED_OUT, 2)
    assert not gate.failing


def test_each_name_has_its_gate() -> None:
    gates = Gates(1)
    assert gates.named("one") is gates.named("one")
    assert gates.named("one") is not gates.named("two")
