"""Does the chores of a process that serves: on a thread of their own, again and again."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def keeping(chores: Callable[[], None], interval: float) -> Iterator[None]:
    """Do the chores now and every ``interval`` seconds, until the block ends. The last round is waited for."""
    stop = threading.Event()

    def keep() -> None:
        chores()
        while not stop.wait(interval):
            chores()

    thread = threading.Thread(target=keep, name="keeper")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
