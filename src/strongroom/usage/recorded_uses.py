"""Finds the uses of keys in records of the audit log. Pure."""

from collections.abc import Iterable, Iterator
from datetime import datetime

import msgspec


class _Resource(msgspec.Struct):
    arn: str = msgspec.field(name="ARN", default="")


class _Record(msgspec.Struct, rename="camel"):
    event_name: str = ""
    event_time: str = ""
    event_type: str = ""
    error_code: str = ""
    request_id: str = msgspec.field(name="requestID", default="")
    event_id: str = msgspec.field(name="eventID", default="")
    resources: tuple[_Resource, ...] = ()


class RecordedUse(msgspec.Struct, frozen=True):
    """A successful cryptographic operation with a key. ``used_at`` is in whole epoch seconds, as in all records."""

    arn: str
    operation: str
    used_at: float
    event_id: str
    request_id: str


_decoder = msgspec.json.Decoder(_Record)


def uses_in(lines: Iterable[bytes], operations: frozenset[str]) -> Iterator[RecordedUse]:
    """Yield the uses of keys by some operations that lines of the audit log record, in the order of the lines."""
    for line in lines:
        try:
            record = _decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        if record.event_name in operations and record.event_type == "AwsApiCall" and not record.error_code:
            used_at = datetime.fromisoformat(record.event_time).timestamp()
            for resource in record.resources:
                yield RecordedUse(resource.arn, record.event_name, used_at, record.event_id, record.request_id)
