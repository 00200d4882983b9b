"""What a duty of the keeper consists of: keys become due, and a plan says what is to be done with one of them."""

from collections.abc import Callable

import msgspec
from typing_extensions import override

from strongroom.keys.arns import KeyLocator
from strongroom.operations.kms.key_changes import Plan
from strongroom.store.protocol import Reader


class Duty(msgspec.Struct, frozen=True):
    """A kind of change that the service makes by itself when a key is due.

    ``find(reader, now, limit)`` lists at most ``limit`` keys that are due. ``plan(locator, now)`` returns the plan for
    one key, which changes nothing if the key is no longer due. ``counter`` names the counter of the keys that were
    changed, ``done`` says in the server's log what was done. Times are epoch seconds.
    """

    counter: str
    done: str
    find: Callable[[Reader, float, int], list[KeyLocator]]
    plan: Callable[[KeyLocator, float], Plan]

    @override
    def __repr__(self) -> str:
        return f"Duty({self.counter})"
