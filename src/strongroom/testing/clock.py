"""The clock of a development server."""

from datetime import UTC, datetime, timedelta

from strongroom.testing.control import Control


class Clock:
    """The clock of a server, which the whole server goes by. It is the machine's, until it is advanced."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def now(self) -> datetime:
        """Return the time of the server, in UTC."""
        return datetime.fromtimestamp(self._control.get("/clock")["now"], UTC)

    def ahead(self) -> timedelta:
        """Return how far it is ahead of the machine's clock."""
        return timedelta(seconds=self._control.get("/clock")["ahead"])

    def advance(
        self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0, by: timedelta = timedelta()
    ) -> None:
        """Let the sum of these pass at once. What is due then has been done when this returns.

        Keys have been rotated and deleted, imported key material has expired, and sessions have ended. Raises
        ControlError if it is not more than no time, or if the clock would be a hundred years ahead.
        """
        given = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds) + by
        self._control.post("/clock/advance", {"seconds": given.total_seconds()})

    def reset(self) -> None:
        """Set it back to the machine's clock. What was done stays done."""
        self._control.post("/clock/reset")
