"""The shape of events: that of Amazon EventBridge. Pure.

Source: EventBridge User Guide, "AWS service event metadata"; KMS Developer Guide, "Monitor KMS keys with Amazon
EventBridge".
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from strongroom.arns import account_in
from strongroom.audit.cloudtrail import event_time

AWS_KMS = "aws.kms"
"""The source of events that AWS KMS has as well."""
STRONGROOM = "strongroom"
"""The source of those that AWS has not."""


class Event(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """An event, in the order of its members. ``time`` is in UTC; ``detail`` depends on ``detail_type``.

    The same event may be delivered more than once, and then has the same ``id``.
    """

    version: str = "0"
    id: str
    detail_type: str
    source: str
    account: str
    time: str
    region: str
    resources: Sequence[str] = ()
    detail: Mapping[str, object] = {}

    def encode(self) -> bytes:
        """Return the event as JSON, without a newline."""
        return msgspec.json.encode(self)

    def age(self, now: float) -> float:
        """Return how many seconds ago it happened; ``now`` is in epoch seconds. 0 if its time is none."""
        try:
            return now - datetime.fromisoformat(self.time).timestamp()
        except ValueError:
            return 0.0


_decoder = msgspec.json.Decoder(Event)


def decode(content: bytes) -> Event:
    """Read an event; raises msgspec.DecodeError."""
    return _decoder.decode(content)


def own_event(  # noqa: PLR0913 - what an event says
    detail_type: str,
    detail: Mapping[str, object],
    *,
    event_id: str,
    now: float,
    account: str,
    region: str,
    resource: str = "",
) -> Event:
    """Return an event that AWS has not. ``now`` is in epoch seconds; ``resource`` is an ARN, whose account counts."""
    return Event(
        id=event_id,
        detail_type=detail_type,
        source=STRONGROOM,
        account=(resource and account_in(resource)) or account,
        time=event_time(now),
        region=region,
        resources=(resource,) if resource else (),
        detail=detail,
    )
