"""What a destination of events does: it takes one event after the other."""

from typing import Protocol

from strongroom.events.event import Event


class DeliveryError(Exception):
    """A destination has not taken an event; the message says why, in words for the operator. It may later."""


class Destination(Protocol):
    """Takes events. One thread at a time uses it, but for ``close``."""

    def deliver(self, event: Event) -> None:
        """Return when the event is taken; raises DeliveryError. It is bounded in time."""
        ...

    def close(self) -> None:
        """Release what is open, and end a command that runs. Any thread may do that. It may be used again."""
        ...
