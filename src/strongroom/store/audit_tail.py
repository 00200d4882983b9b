"""The newest part of a writer's audit log, read from its end: what has been recorded since a mark."""

import mmap
from collections.abc import Iterator
from pathlib import Path

from strongroom.store.audit_files import segments_of
from strongroom.store.protocol import AuditMark


class AuditTail:
    """Reads the chains in ``folder``, also while they are written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def since(self, mark: AuditMark, text: bytes) -> Iterator[bytes]:
        """Yield the whole lines that hold a text and come after a mark, the newest first."""
        segments = segments_of(self._folder) if self._folder.is_dir() else []
        for segment in reversed([each for each in segments if each.writer == mark.writer]):
            if segment.path.name < mark.segment:
                return
            yield from _lines_with(segment.path, text, mark.offset if segment.path.name == mark.segment else 0)


def _lines_with(path: Path, text: bytes, start: int) -> Iterator[bytes]:
    size = path.stat().st_size
    if size <= start:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as content:
        end = content.rfind(b"\n") + 1
        while (found := content.rfind(text, start, end)) >= 0:
            begin = max(start, content.rfind(b"\n", start, found) + 1)
            yield content[begin : content.find(b"\n", found)]
            end = begin
