"""Reads segments, compressed or not, of the log and of archives: for verification, and for what statements say."""

import gzip
import io
import zlib
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, cast

from strongroom.audit.archive import Statements, signed_records
from strongroom.audit.chain import Position
from strongroom.audit.report import Kind
from strongroom.audit.verification import Verifier
from strongroom.audit.writer_id import parse_writer
from strongroom.store.audit.segments import COMPRESSED, Segment, segments_of
from strongroom.whole_files import open_regular

_CHUNK = 4 << 20


class UnreadableSegmentError(OSError):
    """A segment cannot be read: it was moved meanwhile, or its compressed content is damaged."""


def chunks_of(
    path: Path, progress: Callable[[int], object] = lambda _size: None, *, compressed: bool | None = None
) -> Iterator[bytes]:
    """Yield the content of a segment, decompressed; call ``progress`` with the bytes read from the file each time.

    Whether it is ``compressed`` is told by its name, unless it is given. Raises UnreadableSegmentError.
    """
    unpack = path.suffix == COMPRESSED if compressed is None else compressed
    try:
        raw = open_regular(path)
    except FileNotFoundError:
        raise _moved(path) from None
    with raw:
        file = gzip.GzipFile(fileobj=raw) if unpack else raw
        done = 0
        while chunk := _next_chunk(path, cast("io.BufferedIOBase", file)):
            yield chunk
            progress(raw.tell() - done)
            done = raw.tell()


def lines_of(path: Path, *, compressed: bool | None = None) -> Iterator[bytes]:
    """Yield the whole lines of a segment without their newlines; raises UnreadableSegmentError."""
    rest = b""
    for chunk in chunks_of(path, compressed=compressed):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
    if rest:
        # No line of a complete segment, and none that can be verified.
        yield rest


def open_plain(path: Path) -> BinaryIO:
    """Open a segment to read it at any place; a compressed one is unpacked into a temporary file without a name.

    Raises UnreadableSegmentError.
    """
    if path.suffix != COMPRESSED:
        try:
            return open_regular(path)
        except FileNotFoundError:
            raise _moved(path) from None
    file = TemporaryFile()  # noqa: SIM115 - the caller closes it
    try:
        for chunk in chunks_of(path):
            file.write(chunk)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return cast("BinaryIO", file)


def read_statements(segments: Sequence[Segment], verifies: Callable[[bytes, bytes], bool]) -> Statements:
    """Return what the chains of commands state about archived segments, as far as it is signed."""
    stated = Statements()
    for segment in segments:
        writer = parse_writer(segment.writer)
        if writer is not None and writer.worker is None:
            for record in signed_records(segment.name, lines_of(segment.path), verifies):
                stated.add(segment.writer, record)
    return stated


def is_archived(folder: Path, position: Position, verifies: Callable[[bytes, bytes], bool]) -> bool:
    """Tell whether the line after a position was archived, as the log states, with all lines up to those in ``folder``.

    A database that was set back has such a position.
    """
    segments = segments_of(folder)
    oldest = next((each.first for each in segments if each.writer == position.writer), 0)
    if oldest <= position.sequence + 1:
        return False
    return read_statements(segments, verifies).covers(position.writer, position.sequence + 1, oldest - 1)


def walk(segments: Sequence[Sequence[Segment]], verifier: Verifier, progress: Callable[[int], object]) -> None:
    """Give segments, each with its copies, to a verifier; call ``progress`` with the bytes read each time.

    Copies must be alike. Raises UnreadableSegmentError for a file that was moved meanwhile.
    """
    for _, chain in groupby(segments, lambda copies: copies[0].writer):
        of_writer = list(chain)
        for copies in of_writer:
            digest = _verify(copies[0], verifier, progress, newest=copies is of_writer[-1])
            for other in copies[1:]:
                if _digest_of(other.path, progress) != digest:
                    verifier.find_damage(Kind.ALTERED, f"`{other.path}` is another file than `{copies[0].path}`")


def _verify(segment: Segment, verifier: Verifier, progress: Callable[[int], object], *, newest: bool) -> bytes:
    """Give a segment to a verifier; return the digest of its content."""
    verifier.begin(segment.name)
    rest, digest = b"", sha256()
    compressed = segment.path.suffix == COMPRESSED
    try:
        for chunk in chunks_of(segment.path, progress):
            lines = (rest + chunk).split(b"\n")
            rest = lines.pop()
            verifier.lines(lines)
            digest.update(chunk)
    except UnreadableSegmentError as error:
        if not compressed or not segment.path.exists():
            raise
        verifier.find_damage(Kind.TRUNCATED, str(error))
        return b""
    verifier.end(rest, newest=newest)
    return digest.digest()


def _digest_of(path: Path, progress: Callable[[int], object]) -> bytes:
    digest = sha256()
    try:
        for chunk in chunks_of(path, progress):
            digest.update(chunk)
    except UnreadableSegmentError:
        return b""
    return digest.digest()


def _moved(path: Path) -> UnreadableSegmentError:
    return UnreadableSegmentError(f"`{path}` was moved while the log was read; run this again")


def _next_chunk(path: Path, file: io.BufferedIOBase) -> bytes:
    try:
        return file.read(_CHUNK)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UnreadableSegmentError(f"`{path}` is damaged: {error}") from None
