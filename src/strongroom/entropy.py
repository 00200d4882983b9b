"""Sources of randomness, which are passed as arguments. No other module draws it from the operating system."""

import logging
import os
from collections.abc import Callable
from operator import eq
from typing import Generic, NoReturn, Protocol, TypeVar

from strongroom.errors import RandomSourceException

logger = logging.getLogger(__name__)

T = TypeVar("T")

_UUID_LENGTH = 16
_BATCH_SIZE = 256
_BLOCK = 16
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


class Entropy(Protocol):
    """A cryptographically secure source of random bytes."""

    def __call__(self, length: int, /) -> bytes:
        """Return ``length`` new random bytes, suitable for keys and nonces."""
        ...


def system_entropy(length: int, /) -> bytes:
    """Return ``length`` bytes from the kernel's random number generator (getrandom(2))."""
    return os.urandom(length)  # noqa: TID251 - this module owns it


class CheckedEntropy:
    """A source of random bytes that is checked as it is used, and gives nothing more once it has repeated itself.

    Each block of 16 bytes must differ from the one before it, also from one draw to the next: with a generator that
    works, that two are equal has the probability 2^-128. It finds a generator that is stuck, or replaced by something
    constant. Source: FIPS 140-2, 4.9.2, "Continuous random number generator test"; NIST SP 800-90B, 4.4.1.

    Threads may share it: each compares its draw with some draw before.
    """

    def __init__(self, source: Entropy) -> None:
        self._source = source
        # A hash, which Python keys anew in each process: the block itself may be part of a key.
        self._last = hash(source(_BLOCK))
        self.failed = False
        """Whether the source has repeated itself."""

    def __call__(self, length: int, /) -> bytes:
        """Return ``length`` new random bytes; raises RandomSourceException from the first repetition on."""
        drawn = self._source(max(length, _BLOCK))
        blocks = [hash(drawn[start : start + _BLOCK]) for start in range(0, len(drawn) - _BLOCK + 1, _BLOCK)]
        if self.failed or self._last == blocks[0] or any(map(eq, blocks, blocks[1:])):
            self._fail()
        self._last = blocks[-1]
        return drawn[:length]

    def _fail(self) -> NoReturn:
        if not self.failed:
            self.failed = True
            logger.critical(
                "the random number generator of the system has repeated itself: nothing is encrypted any more and no "
                "key is made. Find out why, then restart the server"
            )
        raise RandomSourceException


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
