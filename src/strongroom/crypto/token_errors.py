"""What calls meet when a token cannot be used. Callers of the API get AWS's names, the operator gets the reason."""

from enum import Enum
from typing import Self

from strongroom.errors import DependencyTimeoutException, KMSInternalException

_AWAY = "The hardware security module that keeps this key does not answer now. Try again."
_SLOW = "The hardware security module that keeps this key did not answer in time. Try again."


class Absence(Enum):
    """Why a token cannot be used."""

    LOST = "its connection is lost, or cannot be made"
    MISSING = "the module has no such token, or cannot be loaded"
    WRONG_PIN = "the PIN is refused"
    LOCKED = "the PIN is locked, or the next wrong one would lock it"
    NO_USER = "its user has no PIN yet"
    OTHER_USER = "another user of the token is logged in"
    UNFIT = "the token is in use for something else, or not fit for use"


class TokenUnavailableError(KMSInternalException):
    """A token does not answer now. ``explanation`` tells the operator which and why."""

    code = KMSInternalException.code

    def __init__(self, explanation: str, absence: Absence = Absence.LOST) -> None:
        super().__init__(_AWAY)
        self.explanation = explanation
        self.absence = absence

    def again(self) -> Self:
        """Return an error of its own for one more call. One that many calls raise keeps the frames of them all."""
        return type(self)(self.explanation, self.absence)


class TokenRefusedError(TokenUnavailableError):
    """A token that must not be tried again: the PIN is wrong, or a self-test of the token has failed."""

    code = KMSInternalException.code


class TokenTimeoutError(DependencyTimeoutException):
    """A token did not answer in time. The call inside it goes on, because Cryptoki has no way to end one."""

    code = DependencyTimeoutException.code

    def __init__(self, explanation: str) -> None:
        super().__init__(_SLOW)
        self.explanation = explanation


class TokenFaultError(KMSInternalException):
    """A token refuses what was asked of it, although it answers."""

    code = KMSInternalException.code

    def __init__(self, explanation: str) -> None:
        super().__init__()
        self.explanation = explanation
