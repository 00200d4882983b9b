"""A token that goes away, comes back, is slow, hangs, lies, or refuses."""

import os
import subprocess
import sys
import threading
import time
import traceback
from itertools import pairwise
from pathlib import Path

import pytest
from msgspec.structs import replace

from local_deployment import entropy
from server_processes import wait_until
from softhsm import LABEL, MODULE, FaultyModule
from strongroom.crypto.pkcs11.token import ModuleToken
from strongroom.crypto.pkcs11.token_address import TokenAddress
from strongroom.crypto.pkcs11.wrapping import TokenWrapper, create_wrapping_key
from strongroom.crypto.token_errors import TokenFaultError, TokenRefusedError, TokenTimeoutError, TokenUnavailableError

ID = bytes(range(16))
SOON = 30.0


@pytest.fixture
def wrapper(faulty_token: ModuleToken) -> TokenWrapper:
    create_wrapping_key(faulty_token, ID, "us-east-1", 1)
    return TokenWrapper(faulty_token, ID, 1, entropy)


def wait_until_well(wrapper: TokenWrapper, envelope: bytes) -> None:
    """Wait until the token answers again."""
    begun = time.monotonic()
    while time.monotonic() - begun < SOON:
        try:
            assert wrapper.unwrap(envelope, b"") == b"x"
        except (TokenUnavailableError, TokenFaultError, TokenTimeoutError):
            time.sleep(0.01)
        else:
            return
    raise TimeoutError


def test_a_token_that_is_gone_fails_at_once_and_comes_back(
    faulty: FaultyModule, faulty_token: ModuleToken, wrapper: TokenWrapper, reports: list[str | None]
) -> None:
    envelope, before = wrapper.wrap(b"x", b""), faulty_token.generation
    faulty.behave("gone")
    with pytest.raises(TokenUnavailableError) as first:
        wrapper.unwrap(envelope, b"")
    assert "has no token 'strongroom-test'" in first.value.explanation
    assert LABEL not in str(first.value)
    begun, took = time.monotonic(), list[float]()
    while time.monotonic() - begun < 1.0 or len(took) < 100:
        last = time.monotonic()
        with pytest.raises(TokenUnavailableError) as later:
            wrapper.unwrap(envelope, b"")
        took.append(time.monotonic() - last)
        # What many calls raise would keep the frames of them all, and what they were asked.
        assert later.value is not first.value
        assert len([*traceback.walk_tb(later.tb)]) < 20
    assert sorted(took)[len(took) // 2] < 0.01
    assert reports[-1] == first.value.explanation
    faulty.behave("")
    wait_until_well(wrapper, envelope)
    assert faulty_token.generation > before
    assert reports[-1] is None


def test_the_pauses_between_attempts_grow(faulty: FaultyModule, address: TokenAddress) -> None:
    now = 0.0
    faulty.behave("gone")
    token = ModuleToken(replace(address, module=faulty.path), lambda: now)
    attempts = []
    for _ in range(160):
        before = token.generation
        with pytest.raises(TokenUnavailableError):
            token.check()
        if token.generation != before:
            attempts.append(now)
        now += 0.1
    token.close()
    pauses = [round(later - earlier, 1) for earlier, later in pairwise(attempts)]
    assert pauses == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 5.0], abs=0.11)


def test_many_threads_meet_typed_errors_alone(faulty: FaultyModule, wrapper: TokenWrapper) -> None:
    envelope = wrapper.wrap(b"x", b"")
    stop, others, good = threading.Event(), list[BaseException](), [0] * 4

    def use(number: int) -> None:
        while not stop.is_set():
            try:
                assert wrapper.unwrap(envelope, b"") == b"x"
                good[number] += 1
            except (TokenUnavailableError, TokenTimeoutError):
                pass
            except BaseException as error:  # noqa: BLE001 - it is what the test looks for
                others.append(error)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for how in ("", "gone", "", "slow 2", "gone", ""):
        faulty.behave(how)
        time.sleep(0.3)
    wait_until_well(wrapper, envelope)
    before = list(good)
    try:
        wait_until(lambda: all(later > earlier for earlier, later in zip(before, good, strict=True)))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert others == []


def lose_a_thread(token: ModuleToken) -> None:
    """Make a call of a token that hangs, and give it up when it has its thread."""
    before = token._threads.lost
    while token._threads.lost == before:
        with pytest.raises(TokenTimeoutError):
            token.run(lambda session: session.calls.random(1), patience=0.1)


def test_a_hanging_token_costs_its_threads_alone(
    faulty: FaultyModule, faulty_token: ModuleToken, wrapper: TokenWrapper
) -> None:
    envelope = wrapper.wrap(b"x", b"")
    faulty.behave("hang")
    for _ in range(4):
        lose_a_thread(faulty_token)
    # One that had waited would say for how long.
    with pytest.raises(TokenTimeoutError, match="in time") as caught:
        wrapper.unwrap(envelope, b"")
    assert "all 4 threads" in caught.value.explanation
    faulty.behave("")
    wait_until_well(wrapper, envelope)


def test_calls_that_wait_for_a_thread_are_refused_when_all_hang(
    faulty: FaultyModule, faulty_token: ModuleToken
) -> None:
    faulty_token.check()
    faulty.behave("hang")
    took = list[float]()

    def call(patience: float) -> None:
        begun = time.monotonic()
        with pytest.raises(TokenTimeoutError):
            faulty_token.run(lambda session: session.calls.random(1), patience=patience)
        took.append(time.monotonic() - begun)

    threads = [threading.Thread(target=call, args=(4.0,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_until(lambda: faulty_token._threads._started == 4 and not faulty_token._threads._jobs.qsize())
    threads += [threading.Thread(target=call, args=(2 * SOON,)) for _ in range(4)]
    for thread in threads[4:]:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(took) < SOON


def test_a_wrong_pin_is_tried_once(address: TokenAddress) -> None:
    token = ModuleToken(replace(address, pin="another"), time.monotonic)
    with pytest.raises(TokenRefusedError) as first:
        token.check()
    assert "refuses the PIN (C_Login answers PIN_INCORRECT)" in first.value.explanation
    assert "another" not in first.value.explanation
    generation = token.generation
    time.sleep(0.5)
    with pytest.raises(TokenRefusedError):
        token.check()
    assert token.generation == generation
    token.close()


def test_no_pin_is_never_tried(address: TokenAddress) -> None:
    """An empty one would count as a wrong one, and lock the token after some starts."""
    token = ModuleToken(replace(address, pin=""), time.monotonic)
    with pytest.raises(TokenRefusedError) as caught:
        token.check()
    assert "needs a PIN; name a file with it in `pkcs11-pin-file`" in caught.value.explanation
    token.close()


def test_the_last_attempt_at_a_pin_is_left_to_the_operator(faulty: FaultyModule, faulty_token: ModuleToken) -> None:
    faulty.behave("locked")
    with pytest.raises(TokenRefusedError) as caught:
        faulty_token.check()
    assert "one more wrong PIN" in caught.value.explanation


def test_a_token_that_computes_wrongly_is_not_used(faulty: FaultyModule, faulty_token: ModuleToken) -> None:
    faulty.behave("wrong")
    with pytest.raises(TokenRefusedError) as caught:
        faulty_token.check()
    assert "AES-256-GCM wrongly" in caught.value.explanation


def test_a_token_folder_that_was_away_is_found_again(tmp_path: Path, token: ModuleToken) -> None:
    create_wrapping_key(token, ID, "us-east-1", 1)
    wrapper = TokenWrapper(token, ID, 1, entropy)
    envelope = wrapper.wrap(b"x", b"")
    (tmp_path / "tokens").rename(tmp_path / "away")
    with pytest.raises((TokenUnavailableError, TokenFaultError)):
        wrapper.unwrap(envelope, b"")
    (tmp_path / "away").rename(tmp_path / "tokens")
    wait_until_well(wrapper, envelope)


_LOGIN = """
import sys, time
from pathlib import Path
from strongroom.crypto.pkcs11.token import ModuleToken
from strongroom.crypto.pkcs11.token_address import TokenAddress
address = TokenAddress(Path(sys.argv[1]), sys.argv[2], sys.argv[3], start_lock=Path(sys.argv[4]))
token = ModuleToken(address, time.monotonic)
token.check()
token.close()
"""


def test_processes_that_start_at_once_all_find_the_token(address: TokenAddress) -> None:
    command = [sys.executable, "-c", _LOGIN, str(MODULE), address.token, address.pin, str(address.start_lock)]
    started = [subprocess.Popen(command, env=os.environ) for _ in range(6)]
    assert [process.wait(timeout=60) for process in started] == [0] * 6
