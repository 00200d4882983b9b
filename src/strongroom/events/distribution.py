"""Gives the events of the spool to the queues of all destinations that take them."""

import logging
from collections.abc import Sequence

import msgspec

from strongroom.events.event import decode
from strongroom.events.sender import Sender
from strongroom.events.spool import Spool
from strongroom.whole_files import read_regular

logger = logging.getLogger(__name__)


_AT_ONCE = 200
"""How many events are distributed before the caller tells that it lives."""


def distribute(spool: Spool, senders: Sequence[Sender]) -> None:
    """Queue the oldest events of the spool for every destination, and then remove them from the spool.

    After a crash in between, they are queued again where they were sent already. Raises OSError, after all others were
    queued, if the file of one cannot be read. Raises OSError at once if a queue cannot be written.
    """
    unreadable: OSError | None = None
    for path in spool.ready()[:_AT_ONCE]:
        try:
            event = decode(read_regular(path))
        except FileNotFoundError:
            # It was dropped to make room.
            continue
        except OSError as error:
            unreadable = error
            continue
        except (msgspec.DecodeError, UnicodeDecodeError):
            logger.warning("an event is damaged, and dropped: `%s`", path)
            path.unlink(missing_ok=True)
            continue
        for each in senders:
            each.offer(path, event)
        path.unlink(missing_ok=True)
    if unreadable is not None:
        raise unreadable
