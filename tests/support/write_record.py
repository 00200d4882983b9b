"""Records a server's writes and syncs, and makes the folder as a power cut at any moment could have left it.

The recorder is a small library in C that is preloaded into the server (``write_recorder.c``). The model of the disk is
the worst that POSIX allows. What was synced is there. Of everything else, any part may be: of each file, any
of the writes since its last sync, in whole or in sectors; of each folder, a first part of the names that were made,
changed or removed since it was synced.
"""

import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path

import msgspec
from msgspec.structs import replace

from campaign import Random
from programs import program

_ENTRY = struct.Struct("<5Q")
_SECTOR = 512
_SOURCE = Path(__file__).with_name("write_recorder.c")


class Change(IntEnum):
    """What an entry of the record says; ``enum`` in ``write_recorder.c``."""

    WRITE = 1
    TRUNCATE = 2
    CREATE = 3
    RENAME = 4
    LINK = 5
    UNLINK = 6
    SYNC_BEGINS = 7
    SYNC_ENDS = 8


_MOVES = (Change.RENAME, Change.LINK)


class Entry(msgspec.Struct, frozen=True):
    """One entry. ``end`` is the length of the record with it: a moment of the ledger.

    ``offset`` is a place in the file, its new length, or the number of a sync. ``data`` is what was written, or a new
    name.
    """

    change: Change
    inode: int
    offset: int
    path: str
    data: bytes
    end: int


class WriteRecord:
    """The record of all writes below a folder, in a file."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        """Compile the recorder; a C compiler is installed if there is none."""
        library = scratch / "write_recorder.so"
        subprocess.run([program("cc", "gcc"), "-O2", "-shared", "-fPIC", "-o", library, _SOURCE, "-ldl"], check=True)
        self.path = scratch / "writes"
        self.path.touch()
        self.folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.environment = {
            "LD_PRELOAD": str(library),
            "WRITE_RECORD": str(self.path),
            "WRITE_RECORD_BELOW": str(folder.resolve()),
        }
        """What a server needs in its environment to be recorded."""

    def moment(self) -> int:
        """Return the length of the record now."""
        return self.path.stat().st_size

    def entries(self) -> Iterator[Entry]:
        """Yield all entries in order, paths relative to the folder."""
        root = str(self.folder.resolve())
        with self.path.open("rb") as record:
            while head := record.read(_ENTRY.size):
                kind, inode, offset, length, path_length = _ENTRY.unpack(head)
                path = os.path.relpath(record.read(path_length).decode(), root)
                data = record.read(length) if kind in (Change.WRITE, *_MOVES) else b""
                if kind in _MOVES:
                    data = os.path.relpath(data.decode(), root).encode()
                yield Entry(Change(kind), inode, offset, path, data, record.tell())


class VolatileDisk:
    """The state of a folder on a disk with a volatile cache: what is durable, and what is not yet."""

    def __init__(self) -> None:
        self._durable: dict[int, bytearray] = {}
        self._pending: dict[int, list[tuple[int, Entry]]] = {}
        """File → changes of the content that no sync covers yet, with their numbers."""
        self._names: dict[str, int] = {}
        """Durable names → files."""
        self._pending_names: list[tuple[int, Entry]] = []
        self._files: dict[int, int] = {}
        """Inode → a number that no other file has had."""
        self._begun: dict[int, int] = {}
        """A sync that has begun → the number of the first change that it may not cover."""
        self._count = 0

    def add(self, entry: Entry) -> None:
        """Go on by one entry."""
        self._count += 1
        if entry.change is Change.CREATE:
            # The file system gives the inode of a removed file to another one.
            self._files[entry.inode] = self._count
        entry = replace(entry, inode=self._files.get(entry.inode, entry.inode))
        match entry.change:
            case Change.WRITE | Change.TRUNCATE:
                self._pending.setdefault(entry.inode, []).append((self._count, entry))
            case Change.CREATE | Change.RENAME | Change.LINK | Change.UNLINK:
                self._pending_names.append((self._count, entry))
            case Change.SYNC_BEGINS:
                self._begun[entry.offset] = self._count
            case Change.SYNC_ENDS:
                self._sync(entry, self._begun.pop(entry.offset))

    def _sync(self, entry: Entry, before: int) -> None:
        content = self._durable.setdefault(entry.inode, bytearray())
        pending = self._pending.pop(entry.inode, [])
        for number, change in pending:
            if number < before:
                _apply(content, change)
            else:
                self._pending.setdefault(entry.inode, []).append((number, change))
        synced = [each for each in self._pending_names if each[0] < before and _folder_of(each[1]) == entry.path]
        for each in synced:
            _rename(self._names, each[1])
            self._pending_names.remove(each)

    def cut(self, target: Path, random: Random) -> None:
        """Make ``target`` the folder as it is after a power cut now. Folders themselves are durable."""
        names = dict(self._names)
        for _, entry in self._pending_names[: random.randint(0, len(self._pending_names))]:
            _rename(names, entry)
        for name, inode in names.items():
            content = bytearray(self._durable.get(inode, b""))
            for change in _survivors([each for _, each in self._pending.get(inode, [])], random):
                _apply(content, change)
            path = target / name
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod(0o600)


def _survivors(pending: list[Entry], random: Random) -> list[Entry]:
    """Choose which unsynced changes of a file are on the disk: none, all, a first part, or any; some of them torn."""
    match random.randrange(4):
        case 0:
            return []
        case 1:
            return pending
        case 2:
            kept = pending[: random.randint(0, len(pending))]
        case _:
            kept = [each for each in pending if random.random() < 0.5]
    return [*kept[:-1], *(_torn(kept[-1], random) if kept else [])]


def _torn(change: Entry, random: Random) -> list[Entry]:
    """Return some sectors of a write."""
    if change.change is not Change.WRITE:
        return [change]
    starts = range(0, len(change.data), _SECTOR)
    return [
        replace(change, offset=change.offset + start, data=change.data[start : start + _SECTOR])
        for start in starts
        if random.random() < 0.5
    ]


def _apply(content: bytearray, change: Entry) -> None:
    if change.change is Change.TRUNCATE:
        del content[change.offset :]
        content.extend(bytes(change.offset - len(content)))
        return
    content.extend(bytes(max(0, change.offset - len(content))))
    content[change.offset : change.offset + len(change.data)] = change.data


def _folder_of(entry: Entry) -> str:
    return str(Path(entry.path).parent)


def _rename(names: dict[str, int], entry: Entry) -> None:
    match entry.change:
        case Change.CREATE:
            names[entry.path] = entry.inode
        case Change.UNLINK:
            names.pop(entry.path, None)
        case Change.RENAME if entry.path in names:
            names[entry.data.decode()] = names.pop(entry.path)
        case Change.LINK if entry.path in names:
            names[entry.data.decode()] = names[entry.path]
        case _:
            pass


def with_cuts(record: WriteRecord, moments: list[int], target: Path, random: Random) -> Iterator[tuple[int, Path]]:
    """Yield each of some moments, in order, with a folder as it could be after a power cut then."""
    disk, entries = VolatileDisk(), record.entries()
    end = 0
    for number, moment in enumerate(sorted(moments)):
        while end < moment and (entry := next(entries, None)) is not None:
            disk.add(entry)
            end = entry.end
        folder = target / f"cut{number}"
        folder.mkdir(mode=0o700)
        disk.cut(folder, random)
        yield end, folder
        shutil.rmtree(folder)
