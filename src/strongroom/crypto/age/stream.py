"""The interface of encryption and decryption of files in the format of age."""

from typing import ClassVar, Protocol

MAGIC = b"age-encryption.org/v1\n"
"""What every age file begins with."""


class AgeError(Exception):
    """A file cannot be encrypted or decrypted; the message says why."""


class Readable(Protocol):
    """What is read from: a file, or like one."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to ``size`` bytes; none only at the end."""
        ...


class Writable(Protocol):
    """What is written to."""

    def write(self, data: bytes, /) -> int:
        """Write all of ``data`` and return its length."""
        ...


class Encryption(Protocol):
    """Encrypts one file, a part at a time. ``kind`` is what can decrypt it, in one word."""

    kind: ClassVar[str]

    def encrypt(self, source: Readable, target: Writable) -> None:
        """Encrypt ``source`` to ``target``; raises AgeError, and what ``source`` and ``target`` raise."""
        ...

    def check(self) -> "Decryption":
        """Return what decrypts this file in the same process, to check it after it was written."""
        ...


class Decryption(Protocol):
    """Decrypts one file, a part at a time. Each part is authentic; only the end shows that none is missing."""

    def decrypt(self, source: Readable, target: Writable) -> None:
        """Decrypt ``source`` to ``target``; raises AgeError, and what ``source`` and ``target`` raise."""
        ...
