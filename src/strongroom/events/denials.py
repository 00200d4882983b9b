"""Finds bursts of denied calls in the audit log while it is written: many by one principal, or for one key.

It reads what the workers have written, so that counting costs no call anything, and counts the calls of all workers.
"""

from collections import deque
from collections.abc import Callable, Iterator

import msgspec

from strongroom.arns import arn_fields
from strongroom.audit.service_events import event_id_on
from strongroom.event_destinations import DENIED_BURST
from strongroom.events.event import Event, own_event
from strongroom.store.audit.segment_source import Piece, Place, Source

_DENIED = b'"errorCode":"AccessDenied"'
_PIECE = 1 << 20
_MOST_PIECES = 64
"""How many pieces are read at a time of one writer."""
_MOST_COUNTED, _MOST_TIMES = 10_000, 1_000_000
"""Of how many principals and keys denials are kept, and how many denials of all."""
_QUIET = 900.0
"""For how many seconds there is no other event about the same principal or key."""
_MOST_TOLD = 20
"""How many events there are in that time at most, about all of them: each session of an assumed role is a
principal of its own, and a caller who opens many must not drive other events out of the queues."""
_KEY_TYPE = "AWS::KMS::Key"


class _Caller(msgspec.Struct, rename="camel"):
    account_id: str = ""
    arn: str = ""


class _Resource(msgspec.Struct):
    type: str
    arn: str = msgspec.field(name="ARN")


class Denial(msgspec.Struct, rename="camel"):
    """What is read of the record of a denied call."""

    event_name: str
    event_source: str
    aws_region: str
    user_identity: _Caller
    error_code: str
    resources: tuple[_Resource, ...] = ()


_decoder = msgspec.json.Decoder(Denial)


class _Count:
    """When the last denials of one subject were; ``told_at`` is when there was an event about it."""

    __slots__ = ("denied_at", "told_at")

    def __init__(self, threshold: int) -> None:
        self.denied_at = deque[float](maxlen=threshold)
        self.told_at: float | None = None


class BurstCounter:
    """Counts the denied calls of each principal, and for each key. Pure: times are arguments, in seconds.

    A burst is ``threshold`` denials within ``window`` seconds. The memory is bounded: the subjects that were counted
    longest ago are forgotten first.
    """

    def __init__(self, threshold: int, window: float) -> None:
        self.threshold = threshold
        self.window = window
        self._counts: dict[str, _Count] = {}
        self._times = 0
        self._told_at = deque[float](maxlen=_MOST_TOLD)

    def note(self, subject: str, now: float) -> bool:
        """Count a denial; tell whether it completes a burst that is to be told of."""
        found = self._counts.pop(subject, None) or _Count(self.threshold)
        times = found.denied_at
        self._times -= len(times)
        if times and now < times[-1]:
            # The clock was set back.
            times.clear()
        times.append(now)
        while self._counts and (len(self._counts) >= _MOST_COUNTED or self._times + len(times) > _MOST_TIMES):
            self._times -= len(self._counts.pop(next(iter(self._counts))).denied_at)
        self._counts[subject] = found
        self._times += len(times)
        if len(times) < self.threshold or now - times[0] > self.window:
            return False
        if _is_recent(found.told_at, now) or self.is_exhausted(now):
            return False
        found.told_at = now
        self._told_at.append(now)
        return True

    def is_exhausted(self, now: float) -> bool:
        """Tell whether so many bursts were told of that others are left out for now."""
        return len(self._told_at) == _MOST_TOLD and _is_recent(self._told_at[0], now)


class DenialWatch:
    """Reads the chains of all writers, from where they end when it begins. ``now`` returns epoch seconds."""

    def __init__(self, source: Source, counter: BurstCounter, account: str, now: Callable[[], float]) -> None:
        self._source = source
        self._counter = counter
        self._account = account
        self._now = now
        self._places: dict[str, Place | None] = {writer: source.end(writer) for writer in source.chains()}

    def look(self) -> Iterator[Event]:
        """Yield an event for each burst in what was written since the last look; raises OSError."""
        for writer in list(self._source.chains()):
            for _ in range(_MOST_PIECES):
                found = self._source.next(writer, self._places.get(writer), _PIECE)
                if found is None:
                    break
                self._places[writer] = found.after
                if isinstance(found, Piece) and _DENIED in found.data:
                    yield from self._bursts(found.data)

    def _bursts(self, data: bytes) -> Iterator[Event]:
        for line in data.splitlines():
            if _DENIED not in line:
                continue
            try:
                denial = _decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
            if denial.error_code != "AccessDenied":
                # A caller can put the text into a parameter.
                continue
            subjects = {denial.user_identity.arn: "principal-arn"}
            subjects |= {each.arn: "key-arn" for each in denial.resources if each.type == _KEY_TYPE}
            for arn, name in subjects.items():
                if arn_fields(arn) is not None and self._counter.note(arn, self._now()):
                    yield self._event(name, arn, denial)

    def _event(self, name: str, arn: str, denial: Denial) -> Event:
        now = self._now()
        others = {"others-left-out": True} if self._counter.is_exhausted(now) else {}
        return own_event(
            DENIED_BURST,
            {
                name: arn,
                "denials": self._counter.threshold,
                "window-seconds": self._counter.window,
                "last-event-name": denial.event_name,
                "last-event-source": denial.event_source,
                **others,
            },
            event_id=event_id_on(f"{now:.6f}", DENIED_BURST, arn),
            now=now,
            account=denial.user_identity.account_id or self._account,
            region=denial.aws_region,
            resource=arn,
        )


def _is_recent(told_at: float | None, now: float) -> bool:
    return told_at is not None and 0 <= now - told_at < _QUIET
