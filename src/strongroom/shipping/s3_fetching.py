"""Fetches the shipped audit log from object storage into a folder, where it can be verified and searched."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any

import msgspec

from strongroom.audit.chain import parse_name
from strongroom.shipping.destination import DestinationError
from strongroom.shipping.lost_lines import set_aside_all
from strongroom.shipping.s3 import OPEN, Bucket, call, client_of, part_name
from strongroom.store.audit.segments import segments_of
from strongroom.whole_files import open_new

_CHUNK = 1 << 20


def size_of(bucket: Bucket) -> int:
    """Return the size of all objects of the log in bytes; raises DestinationError."""
    return sum(each.size for each in _objects(bucket, client_of(bucket)))


def fetch(bucket: Bucket, to: Path, progress: Callable[[int], object]) -> tuple[int, int]:
    """Copy all segments of a bucket into an empty folder, mode 0600, also unfinished ones from their parts.

    Lines that a node has lost after they were shipped are put beside the segments (see ``lost_lines``). Returns how
    many segments and bytes there are. ``progress`` is called with the bytes of each object. Raises DestinationError,
    OSError.
    """
    client = client_of(bucket)
    found = _objects(bucket, client)
    segments, parts = _listed(found)
    for segment in segments:
        with open_new(to / segment) as file:
            _append(bucket, client, bucket.prefix + segment, file, progress)
    for segment in sorted(parts.keys() - segments):
        with open_new(to / segment) as file:
            _join(bucket, client, segment, sorted(parts[segment]), file, progress)
    stored = dict[str, float]()
    for each in found:
        stored[each.segment] = max(each.stored, stored.get(each.segment, 0.0))
    set_aside_all(to, stored)
    copied = segments_of(to)
    return len(copied), sum(each.path.stat().st_size for each in copied)


def _join(
    bucket: Bucket,
    client: Any,  # noqa: ANN401 - its methods are made from a description
    segment: str,
    offsets: list[int],
    file: IO[bytes],
    progress: Callable[[int], object],
) -> None:
    """Write the parts of a segment to a file, one after the other."""
    size = 0
    for offset in offsets:
        if offset > size:
            raise DestinationError(f"{bucket.place} lacks the part of {segment} at {size}")
        # A part that was shipped again may be longer than it was the first time, and reach beyond the next ones.
        file.seek(offset)
        _append(bucket, client, part_name(bucket.prefix, segment, offset), file, progress)
        size = max(size, file.tell())


def _append(bucket: Bucket, client: Any, name: str, file: IO[bytes], progress: Callable[[int], object]) -> None:  # noqa: ANN401
    def copy() -> None:
        body = client.get_object(Bucket=bucket.name, Key=name)["Body"]
        while chunk := body.read(_CHUNK):
            file.write(chunk)
            progress(len(chunk))

    call(bucket, copy)


class _Object(msgspec.Struct, frozen=True):
    """A segment, or with an offset a part of one, its size in bytes, and when it was stored, in epoch seconds."""

    segment: str
    offset: int | None
    size: int
    stored: float


def _listed(objects: Iterable[_Object]) -> tuple[set[str], dict[str, list[int]]]:
    """Return the names of the segments that are there as a whole, and the offsets of the parts of others."""
    segments, parts = set[str](), dict[str, list[int]]()
    for each in objects:
        if each.offset is None:
            segments.add(each.segment)
        else:
            parts.setdefault(each.segment, []).append(each.offset)
    return segments, parts


def _objects(bucket: Bucket, client: Any) -> list[_Object]:  # noqa: ANN401
    found = list[_Object]()
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket.name, Prefix=bucket.prefix)

    def read() -> None:
        for page in pages:
            for each in page.get("Contents", ()):
                name, _, offset = each["Key"].removeprefix(bucket.prefix).removeprefix(OPEN).partition("/")
                if parse_name(name) is not None and (not offset or offset.isdecimal()):
                    stored = each["LastModified"].timestamp()
                    found.append(_Object(name, int(offset) if offset else None, int(each["Size"]), stored))

    call(bucket, read)
    return found
