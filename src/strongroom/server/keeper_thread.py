"""Does the chores of a process that serves: on a thread of their own, again and again."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from strongroom.errors import KmsError

logger = logging.getLogger(__name__)


@contextmanager
def keeping(chores: Callable[[], None], interval: float, hurry: Callable[[], object]) -> Iterator[None]:
    """Do the chores now and every ``interval`` seconds, until the block ends. The last round is waited for.

    ``hurry`` is called when the block has ended: what the last round waits for must have an end then.
    A round that fails is logged, and the next one comes all the same: without the thread, no key would be deleted or
    rotated any more.
    """
    stop = threading.Event()

    def keep() -> None:
        said = ""
        while True:
            try:
                chores()
                said = ""
            except KmsError as error:
                # Once: while the database is away, it is the same in each round.
                if str(error) != said:
                    logger.warning("the chores of this process could not be finished, and are tried again: %s", error)
                said = str(error)
            except Exception:
                logger.exception("the chores of this process failed, and are tried again")
            if stop.wait(interval):
                return

    thread = threading.Thread(target=keep, name="keeper")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        hurry()
        thread.join()
