"""The file in which a writer notes how far its chain has come: ``audit/WRITER.end``.

A page of memory shared with the file takes the number after every flush, which costs a tenth of a microsecond. When the
process is killed, the number is in the kernel, as the lines are. The file has two numbers of eight bytes, the second
one inverted, in the order of bytes that it names itself, and a JSON object. Of two numbers that differ the lower one
counts: the process was killed between them, or the file is damaged.
"""

import errno
import mmap
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from strongroom.audit.recorded_end import RecordedEnd
from strongroom.whole_files import sync_path

_SUFFIX = ".end"
_SIZE = 512
_NUMBERS = 16
_ALL_BITS = (1 << 64) - 1


class _Rest(msgspec.Struct, frozen=True):
    """What the file has after the numbers."""

    boot: str
    synced: bool
    order: str


class EndFile:
    """The file of one writer, open for as long as its process runs."""

    def __init__(self, folder: Path, writer: str, end: RecordedEnd) -> None:
        """Write the file, in place of what the last process has noted; raises OSError."""
        path = folder / f"{writer}{_SUFFIX}"
        is_new = not path.exists()
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # The whole file, so that the shared page needs no further space on disk.
            if os.pwrite(descriptor, _encode(end), 0) < _SIZE:
                # A disk may be full within a file. The rest of the page would be memory that cannot be touched.
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            if is_new:
                # Older notes may take the place of later ones after a failure of the machine, but there has to be one.
                os.fdatasync(descriptor)
                sync_path(folder)
            self._numbers = memoryview(mmap.mmap(descriptor, _SIZE)).cast("Q")
        finally:
            os.close(descriptor)

    def record(self, sequence: int) -> None:
        """Note the number of the last line."""
        self._numbers[0] = sequence
        self._numbers[1] = ~sequence & _ALL_BITS


def read_end(folder: Path, writer: str) -> RecordedEnd | None:
    """Return what the last process of a writer noted; None if there is nothing, or nothing readable."""
    try:
        return _decode((folder / f"{writer}{_SUFFIX}").read_bytes())
    except OSError:
        return None


def read_ends(folder: Path) -> Mapping[str, RecordedEnd]:
    """Return what each writer noted in a folder."""
    found = {path.stem: read_end(folder, path.stem) for path in folder.glob(f"*{_SUFFIX}")}
    return {writer: end for writer, end in found.items() if end is not None}


def _encode(end: RecordedEnd) -> bytes:
    numbers = (end.sequence, ~end.sequence & _ALL_BITS)
    rest = msgspec.json.encode(_Rest(end.boot, end.synced, sys.byteorder))
    content = b"".join(number.to_bytes(8, sys.byteorder) for number in numbers) + rest
    return content.ljust(_SIZE, b"\n")


def _decode(content: bytes) -> RecordedEnd | None:
    try:
        rest = msgspec.json.decode(content[_NUMBERS:], type=_Rest)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    order: Literal["big", "little"] = "big" if rest.order == "big" else "little"
    number = int.from_bytes(content[:8], order)
    inverted = int.from_bytes(content[8:_NUMBERS], order)
    return RecordedEnd(min(number, ~inverted & _ALL_BITS), rest.boot, rest.synced)
