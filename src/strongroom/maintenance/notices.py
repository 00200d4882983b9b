"""Tells beforehand of imported key material that will expire, and of keys that will be deleted.

A notice is an event, at each of some numbers of days before the date, the smallest that fits. Each node whose turn it
is gives the notices that it has not given yet; those of the same date and number of days have the same id.
"""

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress

import msgspec

from strongroom.audit.cloudtrail import event_time
from strongroom.audit.service_events import event_id_on
from strongroom.clock import DAY, Clock
from strongroom.errors import QuarantinedRecordException
from strongroom.event_destinations import DELETED_SOON, EXPIRES_SOON
from strongroom.events.event import Event, own_event
from strongroom.events.notices_given import NoticesGiven
from strongroom.keys.arns import KeyLocator
from strongroom.keys.kms_key import KmsKey
from strongroom.store.protocol import Readable, Reader
from strongroom.trusted_time import Moment

logger = logging.getLogger(__name__)

INTERVAL = 300.0
"""How often, in seconds, it is looked for dates that have come near."""
_MOST_KEYS = 2000
"""How many keys of each kind are looked at, those with the nearest dates first."""


class _Date(msgspec.Struct, frozen=True):
    """Something that will happen to a key: the type of the notice, when (epoch seconds), and what the event says."""

    detail_type: str
    key: KmsKey
    at: float
    material_id: str = ""


class Notices:
    """Gives the notices of a node. ``send`` takes an event, and returns False if it could not be kept."""

    def __init__(
        self, store: Readable, days: Sequence[int], given: NoticesGiven, send: Callable[[Event], bool], clock: Clock
    ) -> None:
        self._store = store
        self._days = sorted(days)
        self._given = given
        self._send = send
        self._clock = clock
        self._looked_at = -math.inf

    def check(self, moment: Moment) -> None:
        """Give the notices that are due, if it is time to look for them; raises what reads of the store raise."""
        if not self._days or self._clock.timer() - self._looked_at < INTERVAL:
            return
        self._looked_at = self._clock.timer()
        with self._store.read() as reader:
            dates = list(self._dates(reader, moment.earliest))
        for each in dates:
            event = self._event(each, moment.earliest)
            if not self._given.has(event.id) and self._send(event):
                self._given.add(event.id, each.at)
        self._given.save(moment.earliest)

    def _dates(self, reader: Reader, now: float) -> Iterator[_Date]:
        horizon = now + self._days[-1] * DAY
        for key in _keys(reader, reader.keys_with_expired_material(horizon, _MOST_KEYS)):
            for each in key.materials:
                if each.token is not None and each.expires_at is not None and now < each.expires_at <= horizon:
                    yield _Date(EXPIRES_SOON, key, each.expires_at, each.material_id)
        for key in _keys(reader, reader.keys_to_delete(horizon, _MOST_KEYS)):
            if key.deletion_at is not None and now < key.deletion_at <= horizon:
                yield _Date(DELETED_SOON, key, key.deletion_at)

    def _event(self, date: _Date, now: float) -> Event:
        days = next(each for each in self._days if date.at <= now + each * DAY)
        key = date.key
        what = {"expiration-date": event_time(date.at), "key-material-id": date.material_id}
        return own_event(
            date.detail_type,
            {
                "key-id": key.key_id,
                **(what if date.detail_type == EXPIRES_SOON else {"deletion-date": event_time(date.at)}),
                "within-days": days,
            },
            event_id=event_id_on(f"{date.material_id} {date.at} {days}", date.detail_type, key.arn),
            now=now,
            account=key.account,
            region=key.region,
            resource=key.arn,
        )


def _keys(reader: Reader, locators: Iterable[KeyLocator]) -> Iterator[KmsKey]:
    """Yield the keys that can be read. Those that are quarantined are told of elsewhere."""
    for locator in locators:
        with suppress(QuarantinedRecordException):
            key = reader.key(locator)
            if key is not None:
                yield key
