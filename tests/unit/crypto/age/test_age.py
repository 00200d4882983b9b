"""Files in the format of age, exchanged with pyrage and with the program age."""

import io
import os
import pty
import subprocess
from collections.abc import Callable
from pathlib import Path

import pyrage
import pytest

from programs import program
from strongroom.crypto.age.passphrase import PassphraseDecryption, PassphraseEncryption, is_under_passphrase
from strongroom.crypto.age.recipients import (
    IdentityDecryption,
    RecipientEncryption,
    parse_identities,
    parse_recipient,
    parse_recipients,
)
from strongroom.crypto.age.stream import AgeError, Decryption, Encryption
from strongroom.entropy import system_entropy

CHUNK = 64 << 10
SIZES = (0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK)
PASSPHRASE = "correct horse"
LOW = 10
"""A work factor that keeps the tests fast."""


def encrypted(encryption: Encryption, plaintext: bytes) -> bytes:
    target = io.BytesIO()
    encryption.encrypt(io.BytesIO(plaintext), target)
    return target.getvalue()


def decrypted(decryption: Decryption, ciphertext: bytes) -> bytes:
    target = io.BytesIO()
    decryption.decrypt(io.BytesIO(ciphertext), target)
    return target.getvalue()


def under_passphrase(plaintext: bytes) -> bytes:
    return encrypted(PassphraseEncryption(PASSPHRASE, system_entropy, LOW), plaintext)


@pytest.mark.parametrize("size", SIZES)
def test_pyrage_opens_what_is_encrypted_under_a_passphrase(size: int) -> None:
    plaintext = os.urandom(size)  # noqa: TID251 - any bytes
    ciphertext = under_passphrase(plaintext)
    assert is_under_passphrase(ciphertext[:64])
    assert pyrage.passphrase.decrypt(ciphertext, PASSPHRASE) == plaintext
    assert decrypted(PassphraseDecryption(PASSPHRASE), ciphertext) == plaintext


def test_what_pyrage_encrypts_under_a_passphrase_is_opened() -> None:
    plaintext = bytes(CHUNK + 5)
    assert decrypted(PassphraseDecryption(PASSPHRASE), pyrage.passphrase.encrypt(plaintext, PASSPHRASE)) == plaintext


def test_the_program_age_opens_what_is_encrypted_under_a_passphrase(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(under_passphrase(b"secret"))
    age = program("age", "age")
    # age asks for a passphrase on the terminal only.
    pid, terminal = pty.fork()
    if not pid:  # pragma: no cover - the child becomes age
        os.execv(age, [age, "--decrypt", "--output", str(tmp_path / "plain"), str(tmp_path / "file")])  # noqa: S606
    with os.fdopen(terminal, "r+b", buffering=0) as tty:
        said = b""
        while b"passphrase" not in said:
            said += tty.read(64)
        tty.write(PASSPHRASE.encode() + b"\n")
        assert os.waitpid(pid, 0)[1] == 0
    assert (tmp_path / "plain").read_bytes() == b"secret"


@pytest.mark.parametrize("size", SIZES)
def test_the_program_age_opens_what_is_encrypted_to_recipients(size: int, tmp_path: Path) -> None:
    program("age", "age")
    subprocess.run(["age-keygen", "-o", tmp_path / "identity"], check=True, capture_output=True)
    shown = subprocess.run(["age-keygen", "-y", tmp_path / "identity"], check=True, capture_output=True, text=True)
    plaintext = bytes(size)
    encryption = RecipientEncryption([parse_recipient(shown.stdout.strip())])
    (tmp_path / "file").write_bytes(encrypted(encryption, plaintext))
    opened = subprocess.run(
        ["age", "-d", "-i", tmp_path / "identity", tmp_path / "file"], check=True, capture_output=True
    )
    assert opened.stdout == plaintext
    identities = parse_identities((tmp_path / "identity").read_text())
    assert decrypted(IdentityDecryption(identities), (tmp_path / "file").read_bytes()) == plaintext
    assert decrypted(encryption.check(), (tmp_path / "file").read_bytes()) == plaintext


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_ssh_keys(kind: str, tmp_path: Path) -> None:
    keygen = program("ssh-keygen", "openssh-client")
    subprocess.run([keygen, "-q", "-t", kind, "-N", "", "-f", tmp_path / "key"], check=True)
    recipients = parse_recipients(f"# ours\n\n{(tmp_path / 'key.pub').read_text()}")
    ciphertext = encrypted(RecipientEncryption(recipients), b"secret")
    assert decrypted(IdentityDecryption(parse_identities((tmp_path / "key").read_text())), ciphertext) == b"secret"


def test_another_identity_does_not_open_it() -> None:
    ciphertext = encrypted(RecipientEncryption([pyrage.x25519.Identity.generate().to_public()]), b"secret")
    with pytest.raises(AgeError, match="cannot be decrypted"):
        decrypted(IdentityDecryption([pyrage.x25519.Identity.generate()]), ciphertext)


def test_every_changed_byte_and_every_missing_one_is_found() -> None:
    ciphertext = under_passphrase(b"secret")
    for place in range(len(ciphertext)):
        damaged = bytearray(ciphertext)
        damaged[place] ^= 1
        if damaged[place : place + 1].isdigit():
            continue  # The work factor may become one that takes minutes.
        with pytest.raises(AgeError):
            decrypted(PassphraseDecryption(PASSPHRASE), bytes(damaged))
    for length in range(len(ciphertext)):
        with pytest.raises(AgeError):
            decrypted(PassphraseDecryption(PASSPHRASE), ciphertext[:length])


def test_a_file_without_its_last_chunk_is_found() -> None:
    ciphertext = under_passphrase(bytes(2 * CHUNK))
    payload = len(ciphertext) - 2 * (CHUNK + 16)
    with pytest.raises(AgeError, match="damaged"):
        decrypted(PassphraseDecryption(PASSPHRASE), ciphertext[: payload + CHUNK + 16])


def test_a_wrong_passphrase_and_too_much_work_are_refused() -> None:
    with pytest.raises(AgeError, match="wrong"):
        decrypted(PassphraseDecryption("incorrect"), under_passphrase(b"secret"))
    with pytest.raises(AgeError, match=r"2\^30"):
        decrypted(PassphraseDecryption(PASSPHRASE), under_passphrase(b"secret").replace(b" 10\n", b" 30\n", 1))


@pytest.mark.parametrize("text", ["age1", "ssh-ed25519 x", "ann@example.com", "AGE-SECRET-KEY-1"])
def test_what_is_no_recipient(text: str) -> None:
    with pytest.raises(AgeError, match="is not a recipient"):
        parse_recipient(text)


@pytest.mark.parametrize(
    "text",
    ["", "# nothing\n", "AGE-SECRET-KEY-1X", "-----BEGIN PRIVATE KEY-----\n", "-----BEGIN AGE ENCRYPTED FILE-----\n"],
)
def test_what_is_no_identity(text: str) -> None:
    with pytest.raises(AgeError, match="identity"):
        parse_identities(text)


class Fault(Exception):
    """A fault of the disk."""


class Broken:
    """A file that cannot be read or written."""

    def read(self, _size: int = -1, /) -> bytes:
        raise Fault

    def write(self, _data: bytes, /) -> int:
        raise Fault


@pytest.mark.parametrize(
    "encryption",
    [
        lambda: RecipientEncryption([pyrage.x25519.Identity.generate().to_public()]),
        lambda: PassphraseEncryption(PASSPHRASE, system_entropy, LOW),
    ],
    ids=["recipients", "passphrase"],
)
def test_a_fault_of_the_file_is_raised_as_it_is(encryption: Callable[[], Encryption]) -> None:
    with pytest.raises(Fault):
        encryption().encrypt(Broken(), io.BytesIO())
    with pytest.raises(Fault):
        encryption().encrypt(io.BytesIO(b"x"), Broken())
