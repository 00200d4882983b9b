"""Waits for file descriptors of any number: select(2) takes none above 1023, and a busy server has more open.

See the notes of select(2) on ``FD_SETSIZE``.
"""

import math
import select
from collections.abc import Iterable


def readable(descriptors: Iterable[int], seconds: float | None) -> set[int]:
    """Return those descriptors that can be read from without waiting, or whose other end is closed.

    It waits ``seconds`` at most for the first of them, and without limit if that is None.
    """
    return _ready(descriptors, select.POLLIN, seconds)


def wait_writable(descriptor: int) -> None:
    """Wait until a descriptor can be written to, or its other end is closed."""
    _ready([descriptor], select.POLLOUT, None)


def _ready(descriptors: Iterable[int], event: int, seconds: float | None) -> set[int]:
    poll = select.poll()
    for each in descriptors:
        poll.register(each, event)
    # Up to whole milliseconds: less than one would become none, and a caller would spin until its moment.
    milliseconds = None if seconds is None else math.ceil(max(0.0, seconds) * 1000)
    return {descriptor for descriptor, _ in poll.poll(milliseconds)}
