"""Randomness as an argument: drawn from the operating system here and nowhere else."""

import os
from typing import Protocol


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
    raw = bytearray(entropy(16))
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
