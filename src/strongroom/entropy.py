"""Randomness as an argument: drawn from the operating system here and nowhere else."""

import os
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")

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


class _Prepared(Generic[T]):
    """What every call needs, made for many calls at once: one system call serves them all.

    Safe to use from several threads. A process that forks must not go on with it in both halves.
    """

    def __init__(self, make: Callable[[], list[T]]) -> None:
        self._make = make
        self._ready: list[T] = []

    def __call__(self) -> T:
        """Return the next one; never the same twice."""
        try:
            return self._ready.pop()
        except IndexError:
            first, *self._ready = self._make()
            return first


class Batch(_Prepared[bytes]):
    """Random bytes of one length. For nonces only, never for keys: bytes wait in memory before they are used."""

    def __init__(self, entropy: Entropy, length: int) -> None:
        def make() -> list[bytes]:
            pool = entropy(length * _BATCH)
            return [pool[start : start + length] for start in range(0, len(pool), length)]

        super().__init__(make)


class UuidBatch(_Prepared[str]):
    """UUIDs for requests and events. For names only: 256 share their first 112 random bits, and what is left counts."""

    def __init__(self, entropy: Entropy) -> None:
        def make() -> list[str]:
            shared = uuid(entropy)[:-2]
            return [f"{shared}{number:02x}" for number in range(_BATCH)]

        super().__init__(make)


def _format(raw: bytes) -> str:
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:]}"
