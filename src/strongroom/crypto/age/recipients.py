"""Encryption to recipients, by pyrage: age's X25519 keys, and SSH keys (Ed25519, RSA).

A file gets one recipient more: a key pair that is made for it and never leaves this process. With it, the file is
decrypted and checked after it was written. No copy of its private key is kept.
"""

from collections.abc import Sequence
from io import BufferedIOBase

import pyrage
from typing_extensions import Buffer, override

from strongroom.crypto.age.stream import AgeError, Decryption, Encryption, Readable, Writable

Recipient = pyrage.x25519.Recipient | pyrage.ssh.Recipient
Identity = pyrage.x25519.Identity | pyrage.ssh.Identity

_SSH_KEY = "-----BEGIN "
_ENCRYPTED = ("age-encryption.org/", "-----BEGIN AGE ENCRYPTED FILE-----")


class RecipientEncryption(Encryption):
    """Encrypts to recipients."""

    kind = "recipients"

    def __init__(self, recipients: Sequence[Recipient]) -> None:
        self._checking = pyrage.x25519.Identity.generate()
        self._recipients = [*recipients, self._checking.to_public()]

    @override
    def encrypt(self, source: Readable, target: Writable) -> None:
        files = _Files(source, target)
        try:
            pyrage.encrypt_io(files, files, self._recipients)
        except (pyrage.EncryptError, OSError) as error:
            files.raise_fault()
            raise AgeError(f"the backup cannot be encrypted: {error}") from error
        files.raise_fault()

    @override
    def check(self) -> Decryption:
        return IdentityDecryption([self._checking])


class IdentityDecryption(Decryption):
    """Decrypts with the private key of a recipient."""

    def __init__(self, identities: Sequence[Identity]) -> None:
        self._identities = identities

    @override
    def decrypt(self, source: Readable, target: Writable) -> None:
        files = _Files(source, target)
        try:
            pyrage.decrypt_io(files, files, self._identities)
        except (pyrage.DecryptError, OSError) as error:
            files.raise_fault()
            raise AgeError(f"the backup cannot be decrypted: {error}") from error
        files.raise_fault()


class _Files(BufferedIOBase):
    """What pyrage reads from and writes to.

    It keeps what these raise: pyrage keeps only the text of it, and of the last write of a file not even that.
    """

    def __init__(self, source: Readable, target: Writable) -> None:
        super().__init__()
        self._source = source
        self._target = target
        self._fault: BaseException | None = None

    @override
    def read(self, size: int | None = -1, /) -> bytes:
        try:
            return self._source.read(-1 if size is None else size)
        except BaseException as error:
            self._fault = error
            raise

    @override
    def write(self, data: Buffer, /) -> int:
        try:
            return self._target.write(bytes(data))
        except BaseException as error:
            self._fault = error
            raise

    @override
    def flush(self) -> None:
        """Do nothing: the file is flushed where it was opened."""

    def raise_fault(self) -> None:
        """Raise what reading or writing has raised, if anything."""
        if self._fault is not None:
            raise self._fault


def parse_recipient(text: str) -> Recipient:
    """Return a recipient, ``age1…`` or an SSH public key; raises AgeError."""
    try:
        if text.startswith("ssh-"):
            return pyrage.ssh.Recipient.from_str(text)
        return pyrage.x25519.Recipient.from_str(text)
    except pyrage.RecipientError:
        raise AgeError(
            f"`{text[:80]}` is not a recipient: give an age public key (age1...) or an SSH public key (ssh-ed25519, "
            "ssh-rsa)"
        ) from None


def parse_recipients(text: str) -> list[Recipient]:
    """Return the recipients in a file, one a line, ``#`` before comments; raises AgeError."""
    return [parse_recipient(line) for line in _lines(text)]


def parse_identities(text: str) -> list[Identity]:
    """Return the identities in a file: age's, one a line, or one SSH private key; raises AgeError."""
    if text.startswith(_ENCRYPTED):
        raise AgeError("the identity file is encrypted; decrypt it first with: age --decrypt")
    try:
        if text.startswith(_SSH_KEY):
            return [pyrage.ssh.Identity.from_buffer(text.encode())]
        found: list[Identity] = [pyrage.x25519.Identity.from_str(line) for line in _lines(text)]
    except pyrage.IdentityError:
        raise AgeError(
            "the identity file holds no age identity (AGE-SECRET-KEY-1...) and no SSH private key without passphrase"
        ) from None
    if not found:
        raise AgeError("the identity file is empty")
    return found


def _lines(text: str) -> list[str]:
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]
