"""Ships to a folder, such as a mount of another machine: files of the same names and, byte for byte, the same content.

A file named ``strongroom-audit`` marks the folder. Where it is missing, another folder is in its place: usually a mount
is gone, and what is written to its mount point would be on the wrong disk.
"""

import errno
import os
from contextlib import suppress
from pathlib import Path

from strongroom.audit.chain import parse_name
from strongroom.shipping.destination import DestinationError
from strongroom.shipping.lost_lines import cut_off, follows_failure, set_aside
from strongroom.store.audit.segment_source import Piece
from strongroom.whole_files import sync_path

MARK = "strongroom-audit"
"""The name of the file that marks a folder."""
_MOST_OPEN = 64


class FolderDestination:
    """A folder that exists. What was taken is on its disk."""

    takes_whole_segments = False

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open: dict[str, int] = {}

    def prepare(self, *, shipped_before: bool) -> None:
        """Find the mark, or put it there the first time; raises DestinationError."""
        mark = self._path / MARK
        try:
            if not self._path.is_dir():
                raise DestinationError(f"`{self._path}` is not there, or is no folder: make it, or mount it")
            if mark.exists():
                return
            if shipped_before:
                raise DestinationError(
                    f"`{self._path}` is not the folder that was shipped to before, or it was emptied: it has no "
                    f"`{MARK}`. Mount the right one; or, to ship there from the oldest file on, run: touch {mark}"
                )
            os.close(os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
            sync_path(self._path)
        except OSError as error:
            raise self._failed(error) from None

    def take(self, piece: Piece) -> None:
        """Write the piece to where it belongs, and to disk; raises DestinationError."""
        try:
            if not piece.offset and follows_failure(piece.data[: piece.data.find(b"\n")]):
                self._set_aside(piece)
            descriptor = self._descriptor(piece.segment)
            size = os.fstat(descriptor).st_size
            if size < piece.offset:
                # ``prepare`` is called again, and the copy is compared.
                raise DestinationError(f"`{self._path / piece.segment}` was cut off; it is shipped again")
            done = 0
            while done < len(piece.data):
                done += os.pwrite(descriptor, piece.data[done:], piece.offset + done)
            os.fdatasync(descriptor)
        except OSError as error:
            self.close()
            raise self._failed(error) from None
        if piece.after.complete:
            os.close(self._open.pop(piece.segment))
            if size > piece.after.offset:
                self.cut(piece.segment, piece.after.offset)

    def size_of(self, segment: str) -> int | None:
        """Return how many bytes of a segment are there; raises DestinationError."""
        try:
            return (self._path / segment).stat().st_size
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise self._failed(error) from None

    def cut(self, segment: str, size: int) -> None:
        """Move what this node has lost to a file beside the copy, which then is like the original."""
        path = self._path / segment
        try:
            self._require_mark()
            if path.exists():
                cut_off(path, size)
        except OSError as error:
            raise self._failed(error) from None

    def close(self) -> None:
        """Close the files that are open."""
        while self._open:
            _, descriptor = self._open.popitem()
            with suppress(OSError):
                os.close(descriptor)

    def _set_aside(self, piece: Piece) -> None:
        """Move what the node has lost, and this segment replaces, to files beside the copy; raises OSError."""
        log = piece.path.parent
        sizes = {path.name: path.stat().st_size for path in log.iterdir() if parse_name(path.name) is not None}
        # Older segments are archived first: as long as this one is there, what came after it is there, or was lost.
        piece.path.stat()
        self._require_mark()
        self.close()
        set_aside(self._path, piece.segment, lambda path: sizes.get(path.name))

    def _descriptor(self, segment: str) -> int:
        """Return the open file of a segment, which is made if it is new; raises OSError."""
        found = self._open.get(segment)
        if found is not None:
            # What is open stays writable when the folder is unmounted or moved.
            if os.path.samestat(os.fstat(found), (self._path / segment).stat()):
                return found
            raise OSError(errno.ESTALE, f"`{segment}` is another file now")
        if len(self._open) >= _MOST_OPEN:
            self.close()
        self._require_mark()
        path = self._path / segment
        is_new = not path.exists()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._open[segment] = descriptor
        if is_new:
            sync_path(self._path)
        return descriptor

    def _require_mark(self) -> None:
        """Raise OSError if the mount is gone: the next attempt says so."""
        if not (self._path / MARK).exists():
            raise OSError(errno.ENOENT, f"it has no `{MARK}` any more")

    def _failed(self, error: OSError) -> DestinationError:
        return DestinationError(f"`{self._path}` cannot be written: {error.strerror or error}")
