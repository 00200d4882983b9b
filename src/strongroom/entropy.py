"""Sources of randomness, which are passed as arguments. No other module draws it from the operating system."""

import os
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")

_UUID_LENGTH = 16
_BATCH_SIZE = 256
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


class Entropy(Protocol):
    """A cryptographically secure source of random bytes."""

    def __call__(self, length: int, /) -> bytes:
        """Return ``length`` new random bytes, suitable for keys and nonces."""
        ...


def system_entropy(length: int, /) -> bytes:
    """Return ``length`` bytes from the kernel's random number generator (getrandom(2))."""
    return os.urandom(length)  # noqa: TID251 - this module owns it


def uuid(entropy: Entropy) -> str:
    """Return a random UUID, version 4 (RFC 9562), in its text form."""
    return _format(entropy(_UUID_LENGTH))


class _Prefetched(Generic[T]):
    """Random values made in batches, so that one system call serves many of them.

    Threads may share a batch. Parent and child of a fork must not: both would return the same values.
    """

    def __init__(self, make: Callable[[], list[T]]) -> None:
        self._make = make
        self._ready: list[T] = []

    def __call__(self) -> T:
        """Return the next value; each is returned once."""
        try:
            return self._ready.pop()
        except IndexError:
            first, *self._ready = self._make()
            return first


class Batch(_Prefetched[bytes]):
    """Random byte strings of one length, for nonces. Not for keys: unused bytes stay in memory for a while."""

    def __init__(self, entropy: Entropy, length: int) -> None:
        def make() -> list[bytes]:
            pool = entropy(length * _BATCH_SIZE)
            return [pool[start : start + length] for start in range(0, len(pool), length)]

        super().__init__(make)


class UuidBatch(_Prefetched[str]):
    """Unique UUIDs for requests and events. Not secret: the 256 of a batch differ only in the last byte, a counter."""

    def __init__(self, entropy: Entropy) -> None:
        def make() -> list[str]:
            shared = uuid(entropy)[:-2]
            return [f"{shared}{number:02x}" for number in range(_BATCH_SIZE)]

        super().__init__(make)


def _format(raw: bytes) -> str:
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:]}"
