"""Fetches the shipped audit log from object storage into a folder, where it can be verified and searched."""

from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import msgspec

from strongroom.audit.chain import parse_name
from strongroom.shipping.destination import DestinationError
from strongroom.shipping.s3 import OPEN, Bucket, call, client_of, part_name
from strongroom.whole_files import open_new

_CHUNK = 1 << 20


def size_of(bucket: Bucket) -> int:
    """Return the size of all objects of the log in bytes; raises DestinationError."""
    return sum(each.size for each in _objects(bucket, client_of(bucket)))


def fetch(bucket: Bucket, to: Path, progress: Callable[[int], object]) -> tuple[int, int]:
    """Copy all segments of a bucket into an empty folder, mode 0600, also unfinished ones from their parts.

    Returns how many files and bytes that is. ``progress`` is called with the bytes of each object. Raises
    DestinationError, OSError.
    """
    client = client_of(bucket)
    segments, parts = _listed(bucket, client)
    size = 0
    for segment in segments:
        with open_new(to / segment) as file:
            size += _append(bucket, client, bucket.prefix + segment, file, progress)
    unfinished = sorted(parts.keys() - segments)
    for segment in unfinished:
        with open_new(to / segment) as file:
            size += _join(bucket, client, segment, sorted(parts[segment]), file, progress)
    return len(segments) + len(unfinished), size


def _join(
    bucket: Bucket,
    client: Any,  # noqa: ANN401 - its methods are made from a description
    segment: str,
    offsets: list[int],
    file: IO[bytes],
    progress: Callable[[int], object],
) -> int:
    """Write the parts of a segment to a file, one after the other; return its size."""
    size = 0
    for offset in offsets:
        if offset > size:
            raise DestinationError(f"{bucket.place} lacks the part of {segment} at {size}")
        # A part that was shipped again may be longer than it was the first time, and reach beyond the next ones.
        file.seek(offset)
        _append(bucket, client, part_name(bucket.prefix, segment, offset), file, progress)
        size = max(size, file.tell())
    return size


def _append(bucket: Bucket, client: Any, name: str, file: IO[bytes], progress: Callable[[int], object]) -> int:  # noqa: ANN401
    def copy() -> int:
        done = 0
        body = client.get_object(Bucket=bucket.name, Key=name)["Body"]
        while chunk := body.read(_CHUNK):
            done += file.write(chunk)
            progress(len(chunk))
        return done

    return int(call(bucket, copy))


class _Object(msgspec.Struct, frozen=True):
    """A segment, or with an offset a part of one, and its size in bytes."""

    segment: str
    offset: int | None
    size: int


def _listed(bucket: Bucket, client: Any) -> tuple[set[str], dict[str, list[int]]]:  # noqa: ANN401
    """Return the names of the segments that are there as a whole, and the offsets of the parts of others."""
    segments, parts = set[str](), dict[str, list[int]]()
    for each in _objects(bucket, client):
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
                    found.append(_Object(name, int(offset) if offset else None, int(each["Size"])))

    call(bucket, read)
    return found
