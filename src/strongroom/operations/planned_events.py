"""Changes that the service makes to keys by itself, as events for the audit log."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import msgspec

from strongroom.keys.arns import KeyLocator


class PlannedEvent(msgspec.Struct, frozen=True):
    """A change that the service makes by itself, for the audit log: the event's name, the key, and details.

    ``synchronized``: the change is copied to related multi-Region keys, which is an event of its own. ``occasion`` is
    what such a change of this key happens on at most once, such as the date at which it was due; it is the same on all
    nodes. Without one, each record is of an event of its own.
    """

    name: str
    locator: KeyLocator
    details: Mapping[str, object]
    synchronized: bool = False
    occasion: str = ""


RecordEvents: TypeAlias = Callable[[tuple[PlannedEvent, ...]], None]
"""Records events in the audit log; raises KMSInternalException if that is impossible."""
