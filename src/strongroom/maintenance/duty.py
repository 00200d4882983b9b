"""The type of the keeper's duties. A duty finds keys that are due, and plans the change of one key."""

from collections.abc import Callable, Collection
from typing import TypeAlias

import msgspec
from typing_extensions import override

from strongroom.keys.arns import KeyLocator
from strongroom.operations.kms.key_changes import Plan
from strongroom.store.protocol import Reader
from strongroom.trusted_time import Moment

Regions: TypeAlias = Collection[str] | None
"""The Regions whose keys are found; None for all."""


class Duty(msgspec.Struct, frozen=True):
    """A kind of change that the service makes by itself when a key is due.

    ``find(reader, moment, limit, regions)`` lists at most ``limit`` keys that are due. ``plan(locator, moment)`` is the
    plan for one key, which changes nothing if the key is no longer due. ``counter`` is the name of the counter of
    changed keys. ``done`` is the log message of a change.
    """

    counter: str
    done: str
    find: Callable[[Reader, Moment, int, Regions], list[KeyLocator]]
    plan: Callable[[KeyLocator, Moment], Plan]

    @override
    def __repr__(self) -> str:
        return f"Duty({self.counter})"
