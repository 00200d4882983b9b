"""What calls meet when a token cannot be used. Callers of the API get AWS's names, the operator gets the reason."""

from strongroom.errors import DependencyTimeoutException, KMSInternalException

_AWAY = "The hardware security module that keeps this key does not answer now. Try again."
_SLOW = "The hardware security module that keeps this key did not answer in time. Try again."


class TokenUnavailableError(KMSInternalException):
    """A token does not answer now. ``explanation`` tells the operator which and why."""

    code = KMSInternalException.code

    def __init__(self, explanation: str) -> None:
        super().__init__(_AWAY)
        self.explanation = explanation


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
