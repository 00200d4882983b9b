"""Load shedding: how many requests each lane takes before further ones are refused."""

from enum import Enum

from strongroom.operations.lanes import Lane


class Caller(Enum):
    """What is known of the sender of a request."""

    SIGNED = "the request has a valid signature"
    UNSIGNED = "the request needs no signature, and has none"
    UNVERIFIED = "the access key has to be read before the signature can be verified"


_MAX_SIGNED = {
    Lane.READING: 1024,
    Lane.WRITING: 1024,
    Lane.SIGNING: 1024,
    Lane.COMPUTING: 1024,
    Lane.GENERATING: 32,
    Lane.KEY_BACKEND: 1024,
    Lane.XKS_PROXY: 1024,
}
_MAX_UNSIGNED = 32
_MAX_UNVERIFIED = 1024


class LaneLimits:
    """Counts the requests that each lane has, queued or at work. Lives on the event loop.

    The kinds of callers are counted apart, so that unsigned requests take no place of signed ones.
    """

    def __init__(self) -> None:
        self.in_work: dict[tuple[Lane, Caller], int] = {(lane, caller): 0 for lane in _MAX_SIGNED for caller in Caller}

    def is_full(self, lane: Lane, caller: Caller) -> bool:
        """Tell whether a lane takes no further request of such callers."""
        if caller is Caller.SIGNED:
            most = _MAX_SIGNED[lane]
        else:
            most = _MAX_UNSIGNED if caller is Caller.UNSIGNED else _MAX_UNVERIFIED
        return self.in_work[lane, caller] >= most

    def enter(self, lane: Lane, caller: Caller) -> None:
        """Count a request that was handed to a lane."""
        self.in_work[lane, caller] += 1

    def leave(self, lane: Lane, caller: Caller) -> None:
        """Count a request that came back from a lane."""
        self.in_work[lane, caller] -= 1
