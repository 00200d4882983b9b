"""A token, as the rest of the service uses it: it runs work with a session, and comes back by itself after it was away.

Every call notes the generation of the connection that it used. If it finds the connection lost, it asks for a new one,
which one thread makes, and is tried once more. While there is none, further attempts are made with growing pauses, and
calls in between fail at once.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol, TypeVar

from strongroom.crypto.pkcs11.claims import release
from strongroom.crypto.pkcs11.connecting import connect
from strongroom.crypto.pkcs11.connection import Connection, TokenName, TokenSession
from strongroom.crypto.pkcs11.known_answers import WrongAnswerError
from strongroom.crypto.pkcs11.module import (
    Module,
    ModuleBusyError,
    StaleConnectionError,
    leave_module,
    module_of,
)
from strongroom.crypto.pkcs11.return_codes import CryptokiError, Kind
from strongroom.crypto.pkcs11.threads import TokenThreads
from strongroom.crypto.pkcs11.token_address import TokenAddress
from strongroom.crypto.token_errors import Absence, TokenFaultError, TokenRefusedError, TokenUnavailableError

T = TypeVar("T")

logger = logging.getLogger(__name__)

PATIENCE = 5.0
"""Seconds that a call waits for a token."""
_OTHERS_LEAVE = 2.0
"""Seconds that a new connection waits for calls which are inside the module."""
_CONNECTING = 1.0
"""Seconds that a call waits while another one makes the first connection."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0
_ATTEMPTS = 4
_SEARCHING_AGAIN = 10.0
"""Seconds that a search on a new connection may take, the connection included."""
_DESTROYING = 0.5
"""Seconds in which a check destroys objects that are not needed any more."""
_DISCARDED_AT_ONCE = 4
"""How many objects that are not needed any more a call destroys beside its own work."""
_LOGGED_EVERY = 60.0
"""How often, in seconds, the same fault is logged."""


class Token(Protocol):
    """Runs work with a session of a token."""

    @property
    def generation(self) -> int:
        """The number of the present connection; handles and sessions of another one are not valid."""
        ...

    def run(self, work: Callable[[TokenSession], T], *, patience: float = PATIENCE) -> T:
        """Run work and return its result. It may be run twice, so it must bear that.

        Raises CryptokiError if the token says that the data are not valid, TokenUnavailableError if it does not answer,
        TokenTimeoutError if it does not answer in time, TokenFaultError if it refuses.
        """
        ...

    def search(
        self, work: Callable[[TokenSession], T], is_whole: Callable[[T], bool], *, patience: float = PATIENCE
    ) -> T:
        """Run a search and return its result.

        Unless the result ``is_whole``, or the session sees a witness (``witnesses``), the search is run once more, on a
        new connection. Raises as ``run``.
        """
        ...

    def discard(self, name: bytes) -> None:
        """Have a session object destroyed soon. It waits for nothing, so it may be called from anywhere."""
        ...


class ModuleToken:
    """A token in a Cryptoki module of this process. Safe to use from several threads."""

    def __init__(
        self,
        address: TokenAddress,
        timer: Callable[[], float],
        report: Callable[[str | None], None] = lambda _why: None,
    ) -> None:
        """Load the module; connect at the first call.

        ``timer`` gives seconds. ``report`` is told why the token is away, and None when it is back.
        Raises OSError if the module cannot be loaded.
        """
        self.address = address
        self._module: Module = module_of(address.module, address.arguments)
        self._timer = timer
        self._report = report
        self._threads = TokenThreads(address.threads)
        self._connection: Connection | None = None
        self._closed = False
        self._connecting = threading.Lock()
        self._next_try = 0.0
        self._next_search = 0.0
        self._logged = ""
        self._next_log = 0.0
        self._pause = 0.0
        self._why: TokenUnavailableError | None = None
        self._discarded: deque[bytes] = deque()

    @property
    def generation(self) -> int:
        """The number of the present connection."""
        return self._module.generation

    @property
    def name(self) -> TokenName | None:
        """What the token says of itself; None before it was connected."""
        return None if self._connection is None else self._connection.name

    def run(self, work: Callable[[TokenSession], T], *, patience: float = PATIENCE) -> T:
        """Run work on a thread of the token; raises as ``Token`` says."""
        return self._threads.run(lambda: self._perform(work), patience)

    def search(
        self, work: Callable[[TokenSession], T], is_whole: Callable[[T], bool], *, patience: float = PATIENCE
    ) -> T:
        """Run a search, on a new connection too if something is missing; raises as ``Token`` says."""

        def judged(session: TokenSession) -> tuple[T, int, bool]:
            found = work(session)
            return found, session.generation, is_whole(found) or session.sees_witness()

        found, generation, is_certain = self.run(judged, patience=patience)
        if is_certain:
            return found
        self._lose(generation)
        return self.run(work, patience=max(patience, _SEARCHING_AGAIN))

    def require(self, *, patience: float = PATIENCE) -> Connection:
        """Connect now, and return the connection; raises as ``run``."""

        def connected(_session: TokenSession) -> Connection:
            assert self._connection is not None  # noqa: S101 - for the type checker
            return self._connection

        return self.run(connected, patience=patience)

    def discard(self, name: bytes) -> None:
        """Have a session object destroyed soon. It waits for nothing, so it may be called from anywhere."""
        self._discarded.append(name)

    @property
    def discarded(self) -> int:
        """How many session objects are still to be destroyed."""
        return len(self._discarded)

    def check(self) -> None:
        """Ask the token for random bytes, and destroy what was discarded; raises as ``run``.

        What cannot be destroyed in half a second is left to later calls: it is no sign that the token does not answer.
        """

        def work(session: TokenSession) -> None:
            session.calls.random(1)
            until = self._timer() + _DESTROYING
            while self.discarded and self._timer() < until:
                self._destroy_discarded(session, 1)

        self.run(work, patience=_OTHERS_LEAVE)

    def close(self) -> None:
        """End all sessions. A call that hangs inside keeps the module from being finalized, and is left to itself."""
        self._closed = True
        self._threads.close()
        patience = _OTHERS_LEAVE
        if self.address.exclusive and self._connection is not None:
            try:
                self._connection.close(patience)
            except ModuleBusyError:
                # The login goes on, and no PIN would be checked while it does: initializing the module ends it.
                self._module.lose(self._connection.generation)
                patience = 0.0
        release(self)
        leave_module(self._module, patience)

    # --- on a thread of the token

    def _perform(self, work: Callable[[TokenSession], T]) -> T:
        met: list[Kind] = []
        for _ in range(_ATTEMPTS):
            try:
                return self._attempt(work)
            except StaleConnectionError:
                # Another call has found the connection lost.
                met.append(Kind.LOST)
            except CryptokiError as error:
                met.append(error.kind)
                if self._closed or not self._may_try_again(error, met.count(error.kind)):
                    raise self._given_up(error) from None
        raise self._failed(TokenUnavailableError(f"{self._described()}: its connection is lost again and again"))

    def _attempt(self, work: Callable[[TokenSession], T]) -> T:
        connection = self._connected()
        with self._module.entered(connection.generation):
            # It may have waited at the gate until the sessions were closed. Finding them lost would end everyone's.
            self._require_open()
            self._destroy_discarded(connection, _DISCARDED_AT_ONCE)
            session: TokenSession | None = None
            try:
                session = connection.session()
                return work(session)
            except CryptokiError as error:
                connection.drop_session()
                if error.kind is Kind.LOST:
                    self._lose(connection.generation)
                elif error.kind is Kind.FULL:
                    connection.make_room()
                elif error.kind is Kind.HANDLE and session is not None:
                    connection.drop_handles(session.used)
                raise
            finally:
                if session is not None:
                    session.end()

    def _may_try_again(self, error: CryptokiError, times: int) -> bool:
        """Tell whether another attempt may help, after a failure of a kind was met so many times."""
        if times == 1 and error.kind in {Kind.LOST, Kind.FULL, Kind.HANDLE}:
            if error.kind is Kind.LOST:
                logger.warning("%s: %s; connecting again", self._described(), error)
            return True
        if error.kind is Kind.HANDLE and self._timer() >= self._next_search:
            # SoftHSM finds no token object any more after its folder was away for a moment.
            self._next_search = self._timer() + _LONGEST_PAUSE
            self._lose(self._module.generation)
            return True
        return False

    def _lose(self, generation: int) -> None:
        """Have the next call connect again; a token that is closed leaves the module as it is for the others."""
        if not self._closed:
            self._module.lose(generation)

    def _require_open(self) -> None:
        if self._closed:
            raise TokenUnavailableError(f"{self._described()}: it is closed")

    def _given_up(self, error: CryptokiError) -> Exception:
        """Return what a failure means to the one who called."""
        if error.kind is Kind.CALLER:
            return error
        if error.kind is Kind.LOST:
            return self._failed(TokenUnavailableError(f"{self._described()}: {error}"))
        text = f"{self._described()}: {error}"
        if text != self._logged or self._timer() >= self._next_log:
            self._logged, self._next_log = text, self._timer() + _LOGGED_EVERY
            logger.error("%s", text)
        return TokenFaultError(text)

    def _destroy_discarded(self, at: Connection | TokenSession, most: int) -> None:
        for _ in range(most):
            try:
                name = self._discarded.popleft()
            except IndexError:
                return
            at.forget(name)

    # --- connecting

    def _connected(self) -> Connection:
        """Return the present connection, made now if there is none; raises TokenUnavailableError."""
        self._require_open()
        connection = self._connection
        if connection is not None and self._module.is_current(connection.generation):
            return connection
        if not self._connecting.acquire(timeout=0 if self._pause else _CONNECTING):
            why = self._why
            raise why.again() if why else TokenUnavailableError(f"{self._described()}: it is being connected")
        try:
            connection = self._connection
            if connection is not None and self._module.is_current(connection.generation):
                return connection
            if self._why is not None and (isinstance(self._why, TokenRefusedError) or self._timer() < self._next_try):
                raise self._why.again()
            connection = self._connect()
            if self._why is not None:
                logger.warning("%s: it is back", self._described())
            self._pause, self._why = 0.0, None
            self._report(None)
            return connection
        finally:
            self._connecting.release()

    def _connect(self) -> Connection:
        try:
            with self._module.alone(_OTHERS_LEAVE):
                # It may have waited long, and the PIN may be another one by now.
                self._require_open()
                made = connect(self._module, self.address, self, first=self._connection is None and self._why is None)
                # Before it is asked whether it is closed: from here on, ``close`` ends these sessions.
                self._connection = made
                if self._closed:
                    raise self._end(made)
                return made
        except ModuleBusyError:
            why = TokenUnavailableError(f"{self._described()}: calls inside the module do not return")
        except WrongAnswerError as error:
            why = TokenRefusedError(
                f"{self._described()}: it computes {error} wrongly, so it is not used", Absence.UNFIT
            )
        except TokenUnavailableError as error:
            why = error
        except CryptokiError as error:
            why = TokenUnavailableError(f"{self._described()}: {error}")
        if self._closed:
            # It may have claimed the token after ``close`` gave it up, which nothing would do again.
            release(self)
            raise why
        raise self._failed(why)

    def _end(self, made: Connection) -> TokenUnavailableError:
        """End a connection that hung until nothing waited for it any more; the caller is alone in the module."""
        if self._module.users:
            self._module.close_sessions(made.slot)
        else:
            self._module.finalize()
        return TokenUnavailableError(f"{self._described()}: it is closed")

    def _failed(self, why: TokenUnavailableError) -> TokenUnavailableError:
        """Note that the token is away: until the next attempt, which comes after a pause, calls fail at once."""
        self._pause = min(max(2 * self._pause, _FIRST_PAUSE), _LONGEST_PAUSE)
        self._next_try = self._timer() + self._pause
        self._why = why.again()
        if not self._closed:
            self._report(why.explanation)
        return why

    def _described(self) -> str:
        return f"the token {self.address.token!a} of `{self.address.module}`"
