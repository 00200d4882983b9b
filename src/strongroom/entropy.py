"""Randomness as an argument: drawn from the operating system here and nowhere else."""

import os
from typing import Protocol

_UUID_LENGTH = 16
_BATCH = 256
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


class Entropy(Protocol):
    """A source of unpredictable bytes."""

    def __call__(self, length: int, /) -> bytes:
        """Return ``length`` fresh bytes, fit for keys and nonces."""
        ...


def system_entropy(length: int, /) -> bytes:
    """Return ``length`` bytes from the kernel's generator (getrandom(2))."""
    return os.urandom(length)  # noqa: TID251 - this module owns it


def uuid(entropy: Entropy) -> str:
    """Return a random UUID, version 4 (RFC 9562), in its text form."""
    return _format(entropy(_UUID_LENGTH))


class Batch:
    """Random bytes of one length, which every call needs: one system call serves many. Safe to use on several threads.

    For nonces only, never for keys: bytes wait in memory before they are used. A process that forks must not go on with
    it in both halves.
    """

    def __init__(self, entropy: Entropy, length: int) -> None:
        self._entropy = entropy
        self._length = length
        self._ready: list[bytes] = []

    def __call__(self) -> bytes:
        """Return the next ones; never the same twice."""
        try:
            return self._ready.pop()
        except IndexError:
            pool, length = self._entropy(self._length * _BATCH), self._length
            first, *self._ready = (pool[start : start + length] for start in range(0, len(pool), length))
            return first


class UuidBatch:
    """UUIDs for requests and events, several of which every call needs. Safe to use from several threads.

    For names only: 256 share their first 112 random bits, and what is left counts.
    """

    def __init__(self, entropy: Entropy) -> None:
        self._entropy = entropy
        self._ready: list[str] = []

    def __call__(self) -> str:
        """Return the next one; never the same twice."""
        try:
            return self._ready.pop()
        except IndexError:
            shared = uuid(self._entropy)[:-2]
            last, *self._ready = [f"{shared}{number:02x}" for number in range(_BATCH)]
            return last


def _format(raw: bytes) -> str:
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:]}"
