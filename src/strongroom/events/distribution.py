"""Gives the events of the spool to the queues of all destinations that take them."""

import logging
from collections.abc import Sequence

import msgspec

from strongroom.events.event import decode
from strongroom.events.sender import Sender
from strongroom.events.spool import Spool
from strongroom.whole_files import read_regular

logger = logging.getLogger(__name__)


def distribute(spool: Spool, senders: Sequence[Sender]) -> None:
    """Queue each event of the spool for every destination, and then remove it from the spool; raises OSError.

    After a crash in between, it is queued again where it was sent already.
    """
    for path in spool.ready():
        try:
            event = decode(read_regular(path))
        except FileNotFoundError:
            # It was dropped to make room.
            continue
        except (msgspec.DecodeError, UnicodeDecodeError):
            logger.warning("an event is damaged, and dropped: `%s`", path)
            path.unlink(missing_ok=True)
            continue
        for each in senders:
            each.offer(path, event)
        path.unlink(missing_ok=True)
