"""Reads segments, compressed or not, of the log and of archives: for verification, and for what statements say."""

import gzip
import io
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, cast

import msgspec

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

    A database that was rolled back has such a position.
    """
    segments = segments_of(folder)
    oldest = next((each.first for each in segments if each.writer == position.writer), 0)
    if oldest <= position.sequence + 1:
        return False
    return read_statements(segments, verifies).covers(position.writer, position.sequence + 1, oldest - 1)


class _Content(msgspec.Struct, frozen=True):
    """What was read of a segment: its size, uncompressed, and its SHA-256."""

    size: int
    digest: bytes


def walk(segments: Sequence[Sequence[Segment]], verifier: Verifier, progress: Callable[[int], object]) -> None:
    """Give segments, each with its copies, to a verifier; call ``progress`` with the bytes read each time.

    The first of the copies is verified. The others must be like it; the newest one in a folder may end early, because
    segments are shipped while they are written. Raises UnreadableSegmentError for a file that was moved meanwhile.
    """
    for _, chain in groupby(segments, lambda copies: copies[0].writer):
        of_writer = list(chain)
        newest = {copy.path.parent: copy for copies in of_writer for copy in copies}
        for copies in of_writer:
            main, *others = copies
            # Before the first one, which may grow and be shipped meanwhile.
            contents = [(copy, _content_of(copy.path, progress)) for copy in others]
            sizes = {content.size for _, content in contents if content is not None}
            found = _verify(main, verifier, progress, sizes, newest=copies is of_writer[-1])
            for copy, content in contents:
                _compare(copy, content, main, found, verifier, is_newest=newest[copy.path.parent] is copy)


def _verify(
    segment: Segment, verifier: Verifier, progress: Callable[[int], object], sizes: Iterable[int], *, newest: bool
) -> list[_Content]:
    """Give a segment to a verifier; return its content, after its beginnings of some ``sizes``, as far as it has them.

    Empty if it cannot be read.
    """
    verifier.begin(segment.name)
    rest, digest, read = b"", sha256(), 0
    found, ahead = list[_Content](), sorted(sizes, reverse=True)
    compressed = segment.path.suffix == COMPRESSED
    try:
        for chunk in chunks_of(segment.path, progress):
            lines = (rest + chunk).split(b"\n")
            rest = lines.pop()
            verifier.lines(lines)
            while ahead and ahead[-1] <= read + len(chunk):
                size = ahead.pop()
                beginning = digest.copy()
                beginning.update(chunk[: size - read])
                found.append(_Content(size, beginning.digest()))
            digest.update(chunk)
            read += len(chunk)
    except UnreadableSegmentError as error:
        if not compressed or not segment.path.exists():
            raise
        verifier.find_damage(Kind.TRUNCATED, str(error))
        return []
    verifier.end(rest, newest=newest)
    return [*found, _Content(read, digest.digest())]


def _compare(
    copy: Segment,
    content: _Content | None,
    main: Segment,
    found: Sequence[_Content],
    verifier: Verifier,
    *,
    is_newest: bool,
) -> None:
    """Judge a copy of a segment by the contents that ``_verify`` has found in that."""
    if not found:
        return
    whole = found[-1]
    if content is not None and content.size > whole.size:
        verifier.find_damage(Kind.TRUNCATED, f"`{main.path}` ends before its copy `{copy.path}`")
    elif content is None or content not in found:
        verifier.find_damage(Kind.ALTERED, f"`{copy.path}` is another file than `{main.path}`")
    elif content == whole:
        return
    elif is_newest:
        verifier.report.partial_copies += 1
    else:
        verifier.find_damage(Kind.TRUNCATED, f"`{copy.path}` ends before `{main.path}`")


def _content_of(path: Path, progress: Callable[[int], object]) -> _Content | None:
    """Return the content of a copy; None if it is damaged."""
    digest, size = sha256(), 0
    try:
        for chunk in chunks_of(path, progress):
            digest.update(chunk)
            size += len(chunk)
    except UnreadableSegmentError:
        return None
    return _Content(size, digest.digest())


def _moved(path: Path) -> UnreadableSegmentError:
    return UnreadableSegmentError(f"`{path}` was moved while the log was read; run this again")


def _next_chunk(path: Path, file: io.BufferedIOBase) -> bytes:
    try:
        return file.read(_CHUNK)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UnreadableSegmentError(f"`{path}` is damaged: {error}") from None
