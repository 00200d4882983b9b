"""Token buckets that the workers of a node share: a table in a file that each of them has mapped into its memory.

A slot of the table is a bucket, as two numbers: which one it is, and the time at which it will be full again. Both what
it holds and how it refills follow from that time (the generic cell rate algorithm, ITU-T I.371). A bucket that is full
is like one that was never used, so its slot can be given to another, and a table that an earlier start has left needs
no cleaning.

A lock on the file (flock(2)) keeps workers apart; the kernel releases it if its holder dies. A holder keeps it for some
microseconds. One that was stopped in the midst of that must not stop the others: they wait a tenth of a second at most,
and then go on without the lock, so that meanwhile they may let a request too many through.
"""

import mmap
import os
import struct
import time
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock
from hashlib import blake2b
from pathlib import Path

from strongroom.bounded_cache import put

_SLOT = struct.Struct("=Qq")
_SLOT_SIZE = _SLOT.size
_unpack, _pack = _SLOT.unpack_from, _SLOT.pack_into
_EXCLUSIVE = LOCK_EX | LOCK_NB
_SLOTS = 1 << 14
_PROBED = 64
"""How many slots a bucket can be in, from the one on that its name says."""
_MAX_KNOWN = 10_000
_SECOND = 1_000_000_000
_LONGEST = 100_000_000 * _SECOND
"""The longest time in which a bucket gains a token: three years, so that all sums fit into 64 bits."""
_PATIENCE = 0.1
"""How long to wait for the lock, seconds. A holder that lost its processor to another process gets it back sooner."""
_SPINS = 20
_PAUSE = 0.0001
_WITHOUT_LOCK = 1.0
"""How long to go on without the lock after waiting for it without success, seconds."""


class SharedBuckets:
    """The buckets of a node. Each worker opens the file itself; it is not safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        """Open the file, which is made if missing; raises OSError."""
        size = _SLOTS * _SLOT_SIZE
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # As large as it already is in a running server, so that this changes nothing. It gets all of its space now:
            # writing to memory behind which a full disk has none would kill the process (SIGBUS).
            os.ftruncate(self._descriptor, size)
            os.posix_fallocate(self._descriptor, 0, size)
            self._table = mmap.mmap(self._descriptor, size)
        except BaseException:
            os.close(self._descriptor)
            raise
        self._known: dict[tuple[str, str, str], int] = {}
        self._unlocked_until = 0.0

    def close(self) -> None:
        """Close the file."""
        self._table.close()
        os.close(self._descriptor)

    def take(self, name: tuple[str, str, str], rate: float, now: float, cost: int) -> bool:
        """Take ``cost`` tokens from a bucket and return True, or return False if there is not one whole token.

        The bucket gains ``rate`` tokens a second and holds those of one second, but at least one token. ``now`` is in
        epoch seconds.
        """
        # One product of both would round to a quarter of a microsecond.
        seconds = int(now)
        moment = seconds * _SECOND + int((now - seconds) * _SECOND)
        token = max(1, int(min(_SECOND / rate, _LONGEST)))
        holds = max(token, _SECOND)
        number = self._known.get(name) or self._number_of(name)
        try:
            flock(self._descriptor, _EXCLUSIVE)
            is_locked = True
        except BlockingIOError:
            is_locked = self._lock_later()
        try:
            at = number % _SLOTS * _SLOT_SIZE
            holder, full_at = _unpack(self._table, at)
            if holder != number:
                at, full_at = self._find(number, moment)
            wait = full_at - moment
            if wait > holds + 2 * token:
                # That is later than it can be: the clock was set back, or the file is damaged.
                wait = holds + 2 * token
                _pack(self._table, at, number, moment + wait)
            if wait > holds - token:
                return False
            _pack(self._table, at, number, moment + (max(0, wait)) + cost * token)
            return True
        finally:
            if is_locked:
                flock(self._descriptor, LOCK_UN)

    def _find(self, number: int, moment: int) -> tuple[int, int]:
        """Return the offset of a bucket's slot and when the bucket is full, in nanoseconds.

        A bucket without a slot gets one that is free; if none is, that of the bucket that is the first to be full.
        """
        table, first = self._table, number % _SLOTS
        spare, spare_full_at = 0, -1
        for step in range(_PROBED):
            at = (first + step) % _SLOTS * _SLOT_SIZE
            holder, full_at = _unpack(table, at)
            if holder == number:
                return at, full_at
            if spare_full_at < 0 or (spare_full_at > moment and full_at < spare_full_at):
                spare, spare_full_at = at, max(full_at, 0)
        return spare, moment

    def _lock_later(self) -> bool:
        """Wait for the lock; return False if another worker keeps it."""
        if time.monotonic() < self._unlocked_until:
            return False
        deadline, spins = time.monotonic() + _PATIENCE, _SPINS
        while time.monotonic() < deadline:
            # Most holders are done within a microsecond.
            if spins > 0:
                spins -= 1
            else:
                time.sleep(_PAUSE)
            try:
                flock(self._descriptor, _EXCLUSIVE)
            except BlockingIOError:
                continue
            return True
        self._unlocked_until = time.monotonic() + _WITHOUT_LOCK
        return False

    def _number_of(self, name: tuple[str, str, str]) -> int:
        """Return the number of a bucket: 64 bits of a hash, never zero, which is that of an empty slot."""
        digest = blake2b("/".join(name).encode(), digest_size=8).digest()
        return put(self._known, name, int.from_bytes(digest) or 1, _MAX_KNOWN)
