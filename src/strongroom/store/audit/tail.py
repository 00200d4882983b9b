"""Reads the newest part of a writer's audit log from its end: the records since a mark."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from strongroom.audit.chain import parse_name
from strongroom.audit.sink import AuditMark
from strongroom.store.audit.segments import segments_of

_BLOCK = 1 << 18
"""The number of bytes that are read and searched at once. Other threads can run before each read."""


class AuditTail:
    """Reads the chains in ``folder``, also while they are written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def since(self, mark: AuditMark, text: bytes) -> Iterator[bytes]:
        """Yield the whole lines that hold a text and come after a mark, the newest first."""
        segments = segments_of(self._folder) if self._folder.is_dir() else []
        marked = parse_name(mark.segment)
        for segment in reversed([each for each in segments if each.writer == mark.writer]):
            # Compared by sequence number: the times in names go back when a clock does.
            if marked is not None and segment.first < marked.first:
                return
            yield from _lines_with(segment.path, text, mark.offset if segment.path.name == mark.segment else 0)


def _lines_with(path: Path, text: bytes, start: int) -> Iterator[bytes]:
    """Yield the whole lines of a file that hold a text, from the offset of a line on, the last first.

    A file that is archived meanwhile has none: it lies before a mark that was saved since.
    """
    rest: bytes | None = None
    with suppress(FileNotFoundError), path.open("rb", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        while end > start:
            begin = max(start, end - _BLOCK)
            block = os.pread(file.fileno(), end - begin, begin)
            end = begin
            # After the last newline is a line that is being written.
            block = block[: block.rfind(b"\n") + 1] if rest is None else block + rest
            if not block:
                continue
            # The bytes before the first newline are the end of a line that began in an earlier block.
            head = block.find(b"\n") + 1 if begin > start else 0
            rest = block[:head]
            yield from _matches(block, text, head)


def _matches(block: bytes, text: bytes, head: int) -> Iterator[bytes]:
    end = len(block)
    while (found := block.rfind(text, head, end)) >= 0:
        begin = max(head, block.rfind(b"\n", head, found) + 1)
        yield block[begin : block.find(b"\n", found)]
        end = begin
