"""Does the chores of a process that serves: on a thread of their own, again and again."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from strongroom.errors import KmsError

logger = logging.getLogger(__name__)

_PAUSE = 0.2
"""How many seconds calls have for themselves between two rounds of a long piece of work."""


@contextmanager
def keeping(
    chores: Callable[[], bool | None], interval: Callable[[], float], hurry: Callable[[], object]
) -> Iterator[Callable[[], None]]:
    """Do the chores at once and after every ``interval`` seconds, until the block ends. The last round is waited for.

    ``interval`` is called after each round. If ``chores`` tells that it has left work that is due, the next round comes
    after a fifth of a second. What this yields begins the next round at once, so that an interval that
    has become shorter is not waited for; any thread may call it. ``hurry`` is called when the block has ended: what
    the last round waits for must have an end then.
    A round that fails is logged, and the next one comes all the same: without the thread, no key would be deleted or
    rotated any more.
    """
    wake = threading.Event()
    ended = False

    def keep() -> None:
        said = ""
        while True:
            is_left: bool | None = False
            try:
                is_left = chores()
                said = ""
            except KmsError as error:
                # Once: while the database is away, it is the same in each round.
                if str(error) != said:
                    logger.warning("the chores of this process could not be finished, and are tried again: %s", error)
                said = str(error)
            except Exception:
                logger.exception("the chores of this process failed, and are tried again")
            wake.wait(min(_PAUSE, interval()) if is_left else interval())
            wake.clear()
            if ended:
                return

    thread = threading.Thread(target=keep, name="keeper")
    thread.start()
    try:
        yield wake.set
    finally:
        ended = True
        wake.set()
        hurry()
        thread.join()
