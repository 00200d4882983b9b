"""The health of an XKS proxy: a key back end that is slow, fails and comes back, and how often it is asked."""

import threading
import time

import pytest

from strongroom.clock import ManualClock
from strongroom.entropy import system_entropy
from strongroom.service.xks_health import XksHealth
from strongroom.xks_proxy.replies import HealthStatus
from token_backend import TokenBackend

ACTIVE, UNAVAILABLE = HealthStatus.ACTIVE, HealthStatus.UNAVAILABLE


@pytest.fixture
def token() -> TokenBackend:
    return TokenBackend(system_entropy)


@pytest.fixture
def health(token: TokenBackend, clock: ManualClock) -> XksHealth:
    return XksHealth(token, "us-east-1", lambda: None, clock.timer)


def test_a_result_is_kept_for_less_than_a_minute(health: XksHealth, token: TokenBackend, clock: ManualClock) -> None:
    for _ in range(100):
        assert health.status() is ACTIVE
    asked = token.calls["encrypt"]
    assert asked == 1
    token.connected = False
    clock.advance(49)
    assert health.status() is ACTIVE
    clock.advance(2)
    assert health.status() is UNAVAILABLE


def test_a_failure_is_kept_for_seconds_only(health: XksHealth, token: TokenBackend, clock: ManualClock) -> None:
    token.connected = False
    assert health.status() is UNAVAILABLE
    token.connected = True
    assert health.status() is UNAVAILABLE
    clock.advance(5)
    assert health.status() is ACTIVE


def test_it_is_renewed_in_the_background(health: XksHealth, token: TokenBackend, clock: ManualClock) -> None:
    for _ in range(60):
        health.renew()
        clock.advance(5)
        assert health.status() is ACTIVE
    assert 10 <= token.calls["encrypt"] <= 20


def test_the_test_key_is_made_once_and_destroyed(health: XksHealth, token: TokenBackend, clock: ManualClock) -> None:
    for _ in range(5):
        assert health.status() is ACTIVE
        clock.advance(60)
    assert len(token.objects) == 1
    health.close()
    assert token.objects == {}


def test_what_else_every_call_needs(token: TokenBackend, clock: ManualClock, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise OSError("the audit log cannot be written")

    assert XksHealth(token, "us-east-1", fail, clock.timer).status() is UNAVAILABLE
    assert "the audit log cannot be written" in caplog.text


def test_a_check_that_hangs_keeps_no_other_call_waiting(
    health: XksHealth, token: TokenBackend, clock: ManualClock
) -> None:
    assert health.status() is ACTIVE
    clock.advance(51)
    token.answers.clear()
    hanging = threading.Thread(target=health.renew)
    hanging.start()
    while token.calls["load"] < 2:
        time.sleep(0.01)
    begun = time.monotonic()
    assert health.status() is UNAVAILABLE
    assert time.monotonic() - begun < 5
    token.answers.set()
    hanging.join()
    assert health.status() is ACTIVE
