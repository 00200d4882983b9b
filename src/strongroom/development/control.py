"""The control interface of a development server: JSON over HTTP, on the port of the service, below ``PREFIX``."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import TypeVar

import msgspec

from strongroom.api.reply import Reply
from strongroom.clock import DAY
from strongroom.development.accounts import AccountExistsError, Accounts, require_account
from strongroom.development.faults import Fault, Faults
from strongroom.development.time_control import TimeControl
from strongroom.http.message import HttpRequest

T = TypeVar("T")

PREFIX = "/_strongroom/dev"
_JSON = "application/json"


class ControlError(Exception):
    """A request that is refused, with the status and the sentence that says why."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


class Advance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much time is to pass: the sum of its members."""

    days: float = 0.0
    hours: float = 0.0
    minutes: float = 0.0
    seconds: float = 0.0

    def total(self) -> float:
        """Return the seconds in all."""
        return self.days * DAY + self.hours * 3600 + self.minutes * 60 + self.seconds


class AccountRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The number of an account that is to be made; None for a random one. Or whose faults are to be cleared."""

    account: str | None = None

    def __post_init__(self) -> None:
        """Refuse what is no account; raises ValueError."""
        require_account(self.account)


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No parameters."""


class Time(msgspec.Struct, frozen=True):
    """The time of the server, epoch seconds, and by how many seconds it is ahead of the machine's."""

    now: float
    ahead: float


def json_reply(found: object, status: HTTPStatus, request_id: str) -> Reply:
    """Return an answer in JSON, one line."""
    return Reply(status, msgspec.json.encode(found) + b"\n", _JSON, request_id)


class Control:
    """Answers the requests for control. Safe to use from several threads; it may wait, so not for the event loop."""

    def __init__(
        self,
        time: TimeControl,
        faults: Faults,
        accounts: Accounts,
        about: Mapping[str, object],
        plant: Callable[[], object],
    ) -> None:
        """``about`` is what the server says of itself; ``plant`` makes the keys of its seed, if it has one."""
        self._plant = plant
        self._time = time
        self._faults = faults
        self._accounts = accounts
        self._about = about
        self._reads: dict[str, Callable[[], object]] = {
            "": self._state,
            "/clock": self._clock,
            "/faults": self._faults.all,
        }
        self._actions: dict[str, Callable[[bytes], object]] = {
            "/clock/advance": self._advance,
            "/clock/reset": self._set_clock_back,
            "/accounts": self._create_account,
            "/faults": self._inject,
            "/faults/clear": self._clear,
            "/reset": self._reset,
        }

    def answer(self, request: HttpRequest, request_id: str) -> Reply:
        """Return the answer to a request whose path begins with ``PREFIX``."""
        try:
            found, status = self._perform(request), HTTPStatus.OK
        except ControlError as error:
            found, status = {"error": str(error)}, error.status
        return json_reply(found, status, request_id)

    def _perform(self, request: HttpRequest) -> object:
        path = request.path.removeprefix(PREFIX).rstrip("/")
        if path not in self._reads and path not in self._actions:
            paths = ", ".join(sorted(PREFIX + each for each in {*self._reads, *self._actions}))
            raise ControlError(HTTPStatus.NOT_FOUND, f"there is nothing here; there is {paths}")
        if request.method == "GET" and path in self._reads:
            return self._reads[path]()
        if request.method == "POST" and path in self._actions:
            return self._act(self._actions[path], request.body)
        allowed = [name for name, known in (("GET", self._reads), ("POST", self._actions)) if path in known]
        raise ControlError(HTTPStatus.METHOD_NOT_ALLOWED, f"use {' or '.join(allowed)}")

    @staticmethod
    def _act(act: Callable[[bytes], object], body: bytes) -> object:
        try:
            return act(body or b"{}")
        except AccountExistsError as error:
            raise ControlError(HTTPStatus.CONFLICT, str(error)) from None
        except (msgspec.DecodeError, ValueError) as error:
            raise ControlError(HTTPStatus.BAD_REQUEST, str(error)) from None

    def _state(self) -> Mapping[str, object]:
        return {**self._about, "clock": self._clock(), "faults": self._faults.all()}

    def _clock(self) -> Time:
        return Time(self._time.now(), self._time.ahead)

    def _advance(self, body: bytes) -> Time:
        self._time.advance(_decoded(body, Advance).total())
        return self._clock()

    def _set_clock_back(self, body: bytes) -> Time:
        _decoded(body, Nothing)
        self._time.set_back()
        return self._clock()

    def _create_account(self, body: bytes) -> object:
        return self._accounts.create(_decoded(body, AccountRequest).account)

    def _inject(self, body: bytes) -> object:
        return self._faults.inject(_decoded(body, Fault))

    def _clear(self, body: bytes) -> object:
        self._faults.clear(_decoded(body, AccountRequest).account)
        return self._faults.all()

    def _reset(self, body: bytes) -> object:
        _decoded(body, Nothing)
        self._faults.clear()
        self._accounts.empty()
        self._time.set_back()
        self._plant()
        return self._state()


def _decoded(body: bytes, kind: type[T]) -> T:
    return msgspec.json.decode(body, type=kind)
