"""Fuzz targets: backups, and the files of age that encrypt them."""

import io
from functools import cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from backups import KEY
from strongroom.backup.blocks import BackupError
from strongroom.backup.reader import BackupReader
from strongroom.crypto.age.passphrase import PassphraseDecryption, PassphraseEncryption, is_under_passphrase
from strongroom.crypto.age.recipients import IdentityDecryption, RecipientEncryption, parse_identities, parse_recipient
from strongroom.crypto.age.stream import AgeError, Decryption, Encryption

PASSPHRASE = "correct horse"
CONTENT = b"the content of a small backup"
_LITTLE_WORK = 4
_WORK_AT = len("age-encryption.org/v1\n-> scrypt ") + 23


def fuzz_backup(data: bytes) -> None:
    """Read the bytes as a backup. Its signature holds only if the manifest is one that was signed."""
    try:
        reader = BackupReader(io.BytesIO(data).read)
        rows = [row for section in reader.sections() for rows in section.batches for row in rows]
        signed = reader.signed_manifest
    except BackupError:
        return
    if signed.is_signed_by(KEY.public().verifies):
        assert sum(each.rows for each in signed.manifest.sections) == len(rows)


def fuzz_age(data: bytes) -> None:
    """Decrypt the bytes: they give what was encrypted, from its beginning on, or are refused."""
    if is_under_passphrase(data) and data[_WORK_AT : _WORK_AT + 2].rstrip(b"\n") not in (b"1", b"2", b"3", b"4"):
        # Much work is allowed, and would take all the time.
        return
    opened = io.BytesIO()
    try:
        decryption_of(data).decrypt(io.BytesIO(data), opened)
    except AgeError:
        assert CONTENT.startswith(opened.getvalue())
    else:
        assert opened.getvalue() == CONTENT


def decryption_of(data: bytes) -> Decryption:
    """Return what decrypts a file with these bytes."""
    return PassphraseDecryption(PASSPHRASE) if is_under_passphrase(data) else _decryption()


def encryptions() -> list[Encryption]:
    """Return one encryption of each kind."""
    recipient = parse_recipient(_ssh().public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode())
    return [PassphraseEncryption(PASSPHRASE, bytes, _LITTLE_WORK), RecipientEncryption([recipient])]


@cache
def _decryption() -> IdentityDecryption:
    text = _ssh().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    return IdentityDecryption(parse_identities(text))


def _ssh() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes(32))
