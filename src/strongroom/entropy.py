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


class UuidBatch:
    """UUIDs for requests and events, several of which every call needs: one system call serves many.

    For names only, never for keys: bytes wait in memory before they are used.
    """

    def __init__(self, entropy: Entropy) -> None:
        self._entropy = entropy
        self._ready: list[bytes] = []

    def __call__(self) -> str:
        """Return the next one."""
        try:
            return _format(self._ready.pop())
        except IndexError:
            pool = self._entropy(_UUID_LENGTH * _BATCH)
            self._ready = [pool[start : start + _UUID_LENGTH] for start in range(_UUID_LENGTH, len(pool), _UUID_LENGTH)]
            return _format(pool[:_UUID_LENGTH])


def _format(raw: bytes) -> str:
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:]}"
