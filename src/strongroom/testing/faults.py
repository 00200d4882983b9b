"""Faults that happen to calls of a development server."""

from strongroom.testing.control import Control


class Faults:
    """Injects faults: into the calls of one account, or of all.

    ``times`` is how many calls a fault happens to; without it, it happens until it is cleared. Several faults of one
    operation happen one after the other. SDKs try calls again that were throttled or failed with a 5xx, so ``times=1``
    is mostly seen by the SDK alone. Raises ControlError for an operation or an error that the server does not have.
    """

    def __init__(self, control: Control, account: str | None = None) -> None:
        self._control = control
        self._account = account

    def throttle(self, operation: str, *, times: int | None = None) -> None:
        """Have an operation, such as ``Encrypt``, refused with ThrottlingException."""
        self.fail(operation, "ThrottlingException", times=times)

    def fail(self, operation: str, error: str, message: str | None = None, *, times: int | None = None) -> None:
        """Have an operation refused with an error of AWS, such as ``KMSInternalException``, named by its code."""
        self._inject(operation=operation, error=error, message=message, times=times)

    def delay(self, operation: str, seconds: float, *, times: int | None = None) -> None:
        """Have an operation begin so many seconds later, at most 300."""
        self._inject(operation=operation, delay=seconds, times=times)

    def clear(self) -> None:
        """End these faults: those of the account, or all. Calls that are delayed go on."""
        self._control.post("/faults/clear", {"account": self._account})

    def _inject(self, **fault: object) -> None:
        self._control.post("/faults", {**fault, "account": self._account})
