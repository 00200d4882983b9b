"""A token that is closed makes no call of its module any more: the module is that of other tokens too."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from typing_extensions import override

from softhsm import PIN, FaultyModule, new_token
from strongroom.crypto.pkcs11 import token as tokens
from strongroom.crypto.pkcs11.connecting import connect
from strongroom.crypto.pkcs11.connection import TokenSession
from strongroom.crypto.pkcs11.module import Module
from strongroom.crypto.pkcs11.token import ModuleToken
from strongroom.crypto.pkcs11.token_address import TokenAddress
from strongroom.crypto.token_errors import Absence, TokenRefusedError, TokenUnavailableError
from token_objects import is_open

SOON = 30.0


@pytest.fixture
def other(tmp_path: Path, address: TokenAddress) -> Iterator[ModuleToken]:
    """Return another token of the module, which is in use."""
    new_token(tmp_path, "other")
    with closing(ModuleToken(replace(address, token="other", use="another use"), time.monotonic)) as other:
        other.check()
        yield other


@pytest.fixture
def entered(other: ModuleToken, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what is called from now on of the functions by which a module or a token is entered."""
    found: list[str] = []
    functions = other._module.functions
    call = functions.call

    def noted(name: str, *arguments: Any) -> None:
        if name in {"Initialize", "Finalize", "Login"}:
            found.append(name)
        call(name, *arguments)

    monkeypatch.setattr(functions, "call", noted)
    return found


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the sessions that are opened."""
    found: list[int] = []
    opens = Module.open_session

    def noted(module: Module, slot: int) -> int:
        found.append(opens(module, slot))
        return found[-1]

    monkeypatch.setattr(Module, "open_session", noted)
    return found


def wait_for(condition: Callable[[], object]) -> None:
    begun = time.monotonic()
    while not condition():
        if time.monotonic() - begun > SOON:
            raise TimeoutError
        time.sleep(0.001)


class Call(threading.Thread):
    """A call of a token in a thread, and what it met."""

    def __init__(self, token: ModuleToken, work: Callable[[TokenSession], object]) -> None:
        super().__init__()
        self._token = token
        self._work = work
        self.met: Exception | None = None
        self.start()

    @override
    def run(self) -> None:
        try:
            self._token.run(self._work, patience=SOON)
        except Exception as error:  # noqa: BLE001 - it is what the test looks at
            self.met = error

    def is_refused(self) -> bool:
        self.join()
        return isinstance(self.met, TokenUnavailableError) and "closed" in self.met.explanation


def at_the_gate(module: Module) -> int:
    """Return how many threads wait to get into a module."""
    return len(module._condition._waiters)  # type: ignore[attr-defined]


@pytest.mark.parametrize("exclusive", [True, False])
def test_calls_that_wait_for_a_thread_are_refused(
    address: TokenAddress, other: ModuleToken, entered: list[str], *, exclusive: bool
) -> None:
    token = ModuleToken(replace(address, threads=1, exclusive=exclusive), time.monotonic)
    token.check()
    entered.clear()
    generation, begun, end = other.generation, threading.Event(), threading.Event()

    def inside(session: TokenSession) -> None:
        begun.set()
        assert end.wait(SOON)
        session.calls.random(1)

    first = Call(token, inside)
    assert begun.wait(SOON)
    waiting = [Call(token, lambda session: session.calls.random(1)) for _ in range(2)]
    wait_for(lambda: token._threads._jobs.qsize() == len(waiting))
    closes = threading.Thread(target=token.close)
    closes.start()
    # At once, while the first one is inside still.
    assert all(each.is_refused() for each in waiting)
    end.set()
    closes.join()
    first.join()
    assert first.met is None
    other.check()
    assert (entered, other.generation) == ([], generation)


@pytest.mark.parametrize("connected", [True, False], ids=["to use a session", "to connect"])
def test_a_call_that_waits_at_the_gate_is_refused(
    address: TokenAddress, other: ModuleToken, entered: list[str], *, connected: bool
) -> None:
    token = ModuleToken(replace(address, exclusive=True), time.monotonic)
    if connected:
        token.check()
        entered.clear()
    module, generation = other._module, other.generation
    with module.alone(SOON):
        call = Call(token, lambda session: session.calls.random(1))
        wait_for(lambda: at_the_gate(module) == 1)
        closes = threading.Thread(target=token.close)
        closes.start()
        wait_for(lambda: token._closed)
    assert call.is_refused()
    closes.join()
    other.check()
    assert (entered, other.generation) == ([], generation)


@pytest.mark.usefixtures("other")
def test_a_token_that_is_refused_while_it_is_closed_is_free_for_another_use(
    address: TokenAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It claims the token when it connects, and that may be after the end of its claims."""
    token = ModuleToken(replace(address, pin="an old one", use="a store that was deleted"), time.monotonic)

    def closed_meanwhile(*arguments: Any, **named: Any) -> object:
        token.close()
        return connect(*arguments, **named)

    with monkeypatch.context() as slow:
        # It waits for the thread that waits for it.
        slow.setattr(tokens, "_OTHERS_LEAVE", 0.01)
        slow.setattr(tokens, "connect", closed_meanwhile)
        with pytest.raises(TokenRefusedError, match="does not answer"):
            token.require(patience=60.0)
    with closing(ModuleToken(replace(address, use="a new store"), time.monotonic)) as new:
        new.check()


def test_a_connection_that_is_made_while_its_token_is_closed_is_ended(
    address: TokenAddress, other: ModuleToken, sessions: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    token = ModuleToken(replace(address, exclusive=True), time.monotonic)
    sessions.clear()

    def closed_meanwhile(*arguments: Any, **named: Any) -> object:
        made = connect(*arguments, **named)
        token.close()
        return made

    with monkeypatch.context() as slow:
        slow.setattr(tokens, "_OTHERS_LEAVE", 0.01)
        slow.setattr(tokens, "connect", closed_meanwhile)
        with pytest.raises(TokenUnavailableError):
            token.require(patience=60.0)
    assert sessions
    assert not [each for each in sessions if is_open(other._module, each)]
    other.check()


def _wrong_pin(address: TokenAddress, _faulty: FaultyModule) -> TokenAddress:
    return replace(address, pin="another")


def _locked(address: TokenAddress, faulty: FaultyModule) -> TokenAddress:
    faulty.behave("locked")
    return address


def _wrong_answer(address: TokenAddress, faulty: FaultyModule) -> TokenAddress:
    faulty.behave("wrong")
    return address


@pytest.mark.parametrize("refused", [_wrong_pin, _locked, _wrong_answer])
def test_a_refused_connection_leaves_no_session(
    tmp_path: Path,
    address: TokenAddress,
    faulty: FaultyModule,
    sessions: list[int],
    refused: Callable[[TokenAddress, FaultyModule], TokenAddress],
) -> None:
    """While another token uses the module, nothing else would end it, and tokens have few."""
    new_token(tmp_path, "other")
    address = replace(address, module=faulty.path, exclusive=True)
    with closing(ModuleToken(replace(address, token="other", use="another use"), time.monotonic)) as other:
        other.check()
        failing = refused(address, faulty)
        sessions.clear()
        for _ in range(3):
            with closing(ModuleToken(failing, time.monotonic)) as token, pytest.raises(TokenRefusedError) as caught:
                token.check()
            assert caught.value.absence is not Absence.OTHER_USER
        faulty.behave("")
        assert not [each for each in sessions if is_open(other._module, each)]
        other.check()
        with closing(ModuleToken(replace(address, pin=PIN), time.monotonic)) as token:
            token.check()
