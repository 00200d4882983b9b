"""A page of shared memory, which the agent of a node writes and its workers read.

Its *head* says until when the lease runs, and which generation of the database is published. A ring holds the newest
changes. Python has no memory barriers, so nothing here depends on the order in which another process sees the writes:

- There are two copies of the head, written in turn, and each has a digest over all its fields. A reader takes the
  newer of those whose digest is right. So it never acts on a head of which it has read one half before a write and
  the other half after it; that would take a collision of 128 bits. The agent may die in the middle of a write: then
  the other copy is whole.
- A head that is not the newest does no harm. Each is true by itself: the agent that wrote it knew, at some time within
  one lease before that lease ends, all commits up to the generation beside it.
- An acknowledgement is sent after the head is written, and a call that begins after the answer to the change arrives
  later than that acknowledgement. Both cross the kernel, which orders memory (on x86-64, and on aarch64 because it is
  multi-copy atomic). So such a call reads that head, or a newer one.
- An entry of the ring has a digest over its number, its content, and how often everything had been forgotten when it
  was written. One that was overwritten, is of another history, or cannot be seen yet, is not taken for the one that
  the reader looks for: it forgets everything instead.

The digests of heads are keyed by the *place* of the page: its file, and this start of the machine. So a copy of the
file says nothing, and neither does the file after the next start, when the clock has begun again.
"""

import fcntl
import mmap
import os
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from struct import Struct

import msgspec

from strongroom.store.leases.generation import Generation, TaggedChange
from strongroom.store.records import Change, ChangeKind

_MAGIC = b"SRLEASE1"
_INCARNATION = slice(8, 40)
INCARNATION_BYTES = 16
TAG_BYTES = 8
_DIGEST = 16
_HEAD = Struct("<QdqQ8s")
_HEAD_SIZE = 64
_HEADS = slice(64, 64 + 2 * _HEAD_SIZE)
_ENTRY = Struct("<qQ8sH")
_ENTRY_SIZE = 384
_MOST_TEXT = _ENTRY_SIZE - _DIGEST - _ENTRY.size
_RING = 192
RING_ENTRIES = 4096
PAGE_BYTES = _RING + RING_ENTRIES * _ENTRY_SIZE
_UNKNOWN_TAG = bytes(TAG_BYTES)


class Head(msgspec.Struct, frozen=True):
    """What a page says. ``lease_end`` is in seconds of ``Clock.uptime``; 0 if there is no lease.

    ``forgets`` counts how often everything had to be forgotten. ``version`` differs whenever something has changed in
    the database.
    """

    serial: int
    lease_end: float
    generation: Generation
    forgets: int
    version: bytes


NO_HEAD = Head(0, 0.0, Generation(0, _UNKNOWN_TAG), 0, b"")


def _packed(key: bytes, head: Head) -> bytes:
    generation = head.generation
    fields = _HEAD.pack(head.serial, head.lease_end, generation.number, head.forgets, generation.tag)
    return (fields + blake2b(fields, digest_size=_DIGEST, key=key).digest()).ljust(_HEAD_SIZE, b"\0")


def _parsed(key: bytes, raw: bytes) -> Head:
    """Return the newer of two heads, of those that are whole; ``NO_HEAD`` if neither is."""
    newest = NO_HEAD
    for start in (0, _HEAD_SIZE):
        fields = raw[start : start + _HEAD.size]
        digest = raw[start + _HEAD.size : start + _HEAD.size + _DIGEST]
        if blake2b(fields, digest_size=_DIGEST, key=key).digest() == digest:
            serial, lease_end, number, forgets, tag = _HEAD.unpack(fields)
            if serial > newest.serial:
                newest = Head(serial, lease_end, Generation(number, tag), forgets, fields[16:])
    return newest


def _key(place: str) -> bytes:
    return blake2b(place.encode(), digest_size=32).digest()


def _place(sequence: int) -> int:
    return _RING + sequence % RING_ENTRIES * _ENTRY_SIZE


class PageReader:
    """Reads a page. Safe to use from several threads. ``memory`` is mapped; for ``place`` see ``PageFile``."""

    def __init__(self, memory: mmap.mmap | memoryview, place: str) -> None:
        self._memory = memory
        self._key = _key(place)
        # Both in one object, so that no thread sees the bytes of one head beside another head.
        self._seen: tuple[bytes, Head] = (b"", NO_HEAD)

    def head(self) -> Head:
        """Return what the page says now."""
        raw, head = self._seen
        found = self._memory[_HEADS]
        if found == raw:
            return head
        copied = bytes(found)
        head = _parsed(self._key, copied)
        self._seen = (copied, head)
        return head

    def entry(self, sequence: int, forgets: int) -> TaggedChange | None:
        """Return a change by its number, if it was published after everything was forgotten ``forgets`` times.

        Returns None if the ring does not have it (any more).
        """
        place = _place(sequence)
        raw = bytes(self._memory[place : place + _ENTRY_SIZE])
        number, written_after, tag, length = _ENTRY.unpack_from(raw, _DIGEST)
        whole = raw[_DIGEST : _DIGEST + _ENTRY.size + length]
        if (number, written_after) != (sequence, forgets) or blake2b(whole, digest_size=_DIGEST).digest() != raw[
            :_DIGEST
        ]:
            return None
        kind, account, region, name = whole[_ENTRY.size :].decode("ascii").split("\0")
        return TaggedChange(sequence, tag, kind, account, region, name)


class PageWriter:
    """Writes a page, which nothing else writes. Not safe to use from several threads.

    The lease ends at once when a page is taken over.
    """

    def __init__(self, memory: mmap.mmap | memoryview, place: str) -> None:
        self._memory = memory
        self._key = _key(place)
        if bytes(memory[:8]) != _MAGIC:
            memory[:PAGE_BYTES] = bytes(PAGE_BYTES)
            memory[:8] = _MAGIC
        self.head = _parsed(self._key, bytes(memory[_HEADS]))
        self.is_new_history = True
        """Whether everything has to be forgotten with the next generation: it is not known what came before it."""
        self._write(0.0, self.head.generation, self.head.forgets)

    @property
    def incarnation(self) -> bytes | None:
        """The last incarnation of the member whose leases are on this page, if it is known, and on no other page."""
        raw = bytes(self._memory[_INCARNATION])
        incarnation = raw[:INCARNATION_BYTES]
        return incarnation if raw == self._signed(incarnation) else None

    def record_incarnation(self, incarnation: bytes) -> None:
        """Note the incarnation that the next lease will belong to."""
        self._memory[_INCARNATION] = self._signed(incarnation)

    def end_lease(self) -> None:
        """End the lease now."""
        self._write(0.0, self.head.generation, self.head.forgets)

    def extend(self, lease_end: float) -> None:
        """Have the lease run until then, in seconds of ``Clock.uptime``, for the generation that is published."""
        self._write(lease_end, self.head.generation, self.head.forgets)

    def publish(self, generation: Generation, changes: Sequence[TaggedChange], lease_end: float | None = None) -> None:
        """Publish a generation and the changes that led to it from the one before; extend the lease if ``lease_end``.

        The changes must be all of them, without gaps.
        """
        texts = [text for change in changes if (text := _text(change)) is not None]
        if self.is_new_history or len(changes) > RING_ENTRIES or len(texts) < len(changes):
            self.forget_everything(generation, lease_end)
            return
        for change, text in zip(changes, texts, strict=True):
            whole = _ENTRY.pack(change.sequence, self.head.forgets, change.tag, len(text)) + text
            place = _place(change.sequence)
            raw = blake2b(whole, digest_size=_DIGEST).digest() + whole
            self._memory[place : place + len(raw)] = raw
        self._write(self.head.lease_end if lease_end is None else lease_end, generation, self.head.forgets)

    def forget_everything(self, generation: Generation, lease_end: float | None = None) -> None:
        """Publish a generation, and have every worker forget all that it knows."""
        self._write(self.head.lease_end if lease_end is None else lease_end, generation, self.head.forgets + 1)
        self.is_new_history = False

    def _signed(self, incarnation: bytes) -> bytes:
        return incarnation + blake2b(incarnation, digest_size=_DIGEST, key=self._key).digest()

    def _write(self, lease_end: float, generation: Generation, forgets: int) -> None:
        serial = self.head.serial + 1
        version = _HEAD.pack(serial, lease_end, generation.number, forgets, generation.tag)[16:]
        head = Head(serial, lease_end, generation, forgets, version)
        start = _HEADS.start + serial % 2 * _HEAD_SIZE
        self._memory[start : start + _HEAD_SIZE] = _packed(self._key, head)
        self.head = head


def _text(change: TaggedChange) -> bytes | None:
    """Return what the ring keeps of a change, or None if it has no room for it."""
    text = f"{change.kind}\0{change.account}\0{change.region}\0{change.name}"
    if not text.isascii() or len(text) > _MOST_TEXT or text.count("\0") != 3:  # noqa: PLR2004 - between four
        return None
    return text.encode()


def known_change(found: TaggedChange) -> Change | None:
    """Return a change as caches are told of it; None if its kind is not known to this release."""
    try:
        return Change(found.sequence, ChangeKind(found.kind), found.account, found.region, found.name)
    except ValueError:
        return None


class PageFile:
    """The file of a page, mapped. It is in the node's data folder, and is never removed or replaced.

    ``place`` names the file and the start of the machine, which is ``boot`` (``Clock.boot``). Raises BlockingIOError if
    another process has it open to write.
    """

    def __init__(self, path: Path, boot: str, *, writing: bool) -> None:
        flags = os.O_RDWR | os.O_CREAT if writing else os.O_RDONLY
        self._path = path
        self._descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            if writing:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.ftruncate(self._descriptor, PAGE_BYTES)
            found = os.fstat(self._descriptor)
            self.place = f"{boot} {found.st_dev} {found.st_ino}"
            access = mmap.ACCESS_WRITE if writing else mmap.ACCESS_READ
            self.memory = mmap.mmap(self._descriptor, PAGE_BYTES, access=access)
        except BaseException:
            os.close(self._descriptor)
            raise

    def is_in_place(self) -> bool:
        """Tell whether the file still has its name. If not, processes that open it from now on find another page."""
        try:
            found = self._path.stat(follow_symlinks=False)
        except OSError:
            return False
        return os.path.samestat(found, os.fstat(self._descriptor))

    def close(self) -> None:
        """Unmap the page, and let another process write it."""
        self.memory.close()
        os.close(self._descriptor)
