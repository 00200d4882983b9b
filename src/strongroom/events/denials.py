"""Finds bursts of denied calls in the audit log while it is written: many by one principal, or for one key.

It reads what the workers have written, so that counting costs no call anything, and counts the calls of all workers.
"""

from collections.abc import Callable, Iterator

import msgspec

from strongroom.arns import arn_fields
from strongroom.audit.service_events import event_id_on
from strongroom.event_destinations import DENIED_BURST
from strongroom.events.event import Event, own_event
from strongroom.shipping.destination import Piece, Place
from strongroom.shipping.source import Source

_DENIED = b'"errorCode":"AccessDenied"'
_PIECE = 1 << 20
_MOST_PIECES = 64
"""How many pieces are read at a time of one writer."""
_MOST_COUNTED = 10_000
_QUIET = 900.0
"""For how many seconds there is no other event about the same principal or key."""
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


class _Count(msgspec.Struct):
    """The denials of one subject since ``begun``; ``told_at`` is when there was an event about it."""

    begun: float
    denials: int = 0
    told_at: float | None = None


class BurstCounter:
    """Counts the denied calls of each principal, and for each key. Pure: times are arguments, in seconds.

    A burst is ``threshold`` denials within ``window`` seconds. The memory is bounded: the subjects that were counted
    longest ago are forgotten first.
    """

    def __init__(self, threshold: int, window: float) -> None:
        self.threshold = threshold
        self.window = window
        self._counts: dict[str, _Count] = {}

    def note(self, subject: str, now: float) -> bool:
        """Count a denial; tell whether it completes a burst of which nothing was told yet."""
        found = self._counts.pop(subject, None)
        if found is None:
            if len(self._counts) >= _MOST_COUNTED:
                del self._counts[next(iter(self._counts))]
            found = _Count(now)
        self._counts[subject] = found
        if not 0 <= now - found.begun <= self.window:
            found.begun, found.denials = now, 0
        found.denials += 1
        is_told = found.told_at is not None and 0 <= now - found.told_at < _QUIET
        if found.denials < self.threshold or is_told:
            return False
        found.told_at = now
        return True


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
            except msgspec.DecodeError:
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
        return own_event(
            DENIED_BURST,
            {
                name: arn,
                "denials": self._counter.threshold,
                "window-seconds": self._counter.window,
                "last-event-name": denial.event_name,
                "last-event-source": denial.event_source,
            },
            event_id=event_id_on(f"{now:.6f}", DENIED_BURST, arn),
            now=now,
            account=denial.user_identity.account_id or self._account,
            region=denial.aws_region,
            resource=arn,
        )
