"""Streams of bytes between a backup's format, its encryption and its file, so that memory holds a part of it."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from typing_extensions import override

from strongroom.crypto.age.stream import Decryption

Progress = Callable[[int, int], object]
"""Called with what was done since the last call, and with all that there is to do; 0 if that was said before."""


class ChunkSource:
    """Chunks of bytes, to be read like a file."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def read(self, size: int = -1, /) -> bytes:
        """Return up to ``size`` bytes, none at the end. ``size`` must not be negative."""
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return b""
            self._rest = memoryview(chunk)
        part, self._rest = self._rest[:size], self._rest[size:]
        return bytes(part)


@contextmanager
def plaintext_of(file: BinaryIO, decryption: Decryption | None) -> Iterator[Callable[[int], bytes]]:
    """Yield ``read(n)`` for the content of a file, decrypted on a thread if it is encrypted.

    ``read`` returns n bytes, or fewer at the end. Then it raises AgeError or OSError if the end is not the true one.
    """
    if decryption is None:
        yield file.read
        return
    reading, writing = os.pipe()
    work = _Decrypting(file, decryption, writing)
    with os.fdopen(reading, "rb") as plaintext:

        def read(size: int) -> bytes:
            data = plaintext.read(size)
            if len(data) < size:
                work.finish()
            return data

        work.start()
        try:
            yield read
        finally:
            plaintext.close()  # Then a thread that still writes ends.
            work.join()


class _Decrypting(threading.Thread):
    """Decrypts a file into a pipe."""

    def __init__(self, file: BinaryIO, decryption: Decryption, writing: int) -> None:
        super().__init__(name="decrypting", daemon=True)
        self._file = file
        self._decryption = decryption
        self._writing = writing
        self._fault: Exception | None = None

    @override
    def run(self) -> None:
        try:
            with os.fdopen(self._writing, "wb") as target:
                self._decryption.decrypt(self._file, target)
        except Exception as error:  # noqa: BLE001 - raised where the plaintext is read
            self._fault = error

    def finish(self) -> None:
        """Wait for the end, and raise what went wrong."""
        self.join()
        if self._fault is not None:
            raise self._fault
