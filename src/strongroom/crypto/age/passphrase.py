"""Encryption under a passphrase in the format of age, a chunk at a time. pyrage would hold the whole file in memory.

Source: C2SP, age.md: "scrypt recipient stanza", "Header MAC", "Payload". The tests exchange files with pyrage and age.
"""

import re
from base64 import b64decode, b64encode
from binascii import Error

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from typing_extensions import override

from strongroom.crypto.age.stream import MAGIC, AgeError, Decryption, Encryption, Readable, Writable
from strongroom.entropy import Entropy

WORK_FACTOR = 18
"""Binary logarithm of scrypt's cost: that of age, about a second and 256 MB of memory."""

_MOST_WORK = 20
"""Of a file that is decrypted: a gigabyte of memory."""

_LABEL = b"age-encryption.org/v1/scrypt"
_SALT, _FILE_KEY, _NONCE, _TAG = 16, 16, 16, 16
_CHUNK = 64 << 10
_LONGEST_HEADER = 4096
_HEADER = re.compile(
    rb"age-encryption\.org/v1\n"
    rb"-> scrypt ([A-Za-z0-9+/]{22}) ([1-9][0-9]?)\n"
    rb"([A-Za-z0-9+/]{43})\n"
    rb"--- ([A-Za-z0-9+/]{43})\n"
)
_NOT_OPENED = "the passphrase is wrong, or the backup is damaged"


class PassphraseEncryption(Encryption):
    """Encrypts under a passphrase."""

    kind = "passphrase"

    def __init__(self, passphrase: str, entropy: Entropy, work_factor: int = WORK_FACTOR) -> None:
        self._passphrase = passphrase
        self._entropy = entropy
        self._work_factor = work_factor

    @override
    def encrypt(self, source: Readable, target: Writable) -> None:
        file_key, salt = self._entropy(_FILE_KEY), self._entropy(_SALT)
        wrapped = ChaCha20Poly1305(_stretched(self._passphrase, salt, self._work_factor)).encrypt(
            bytes(12), file_key, None
        )
        stanza = f"-> scrypt {_text(salt)} {self._work_factor}\n{_text(wrapped)}\n---"
        header = MAGIC + stanza.encode()
        mac = _mac(file_key, header)
        target.write(header + f" {_text(mac.finalize())}\n".encode())
        nonce = self._entropy(_NONCE)
        target.write(nonce)
        aead, counter = ChaCha20Poly1305(_derived(file_key, nonce, b"payload")), 0
        chunk = _exactly(source, _CHUNK)
        while True:
            following = _exactly(source, _CHUNK) if len(chunk) == _CHUNK else b""
            target.write(aead.encrypt(_nonce(counter, last=not following), chunk, None))
            if not following:
                return
            chunk, counter = following, counter + 1

    @override
    def check(self) -> Decryption:
        return PassphraseDecryption(self._passphrase)


class PassphraseDecryption(Decryption):
    """Decrypts with a passphrase."""

    def __init__(self, passphrase: str) -> None:
        self._passphrase = passphrase

    @override
    def decrypt(self, source: Readable, target: Writable) -> None:
        header = _read_header(source)
        found = _HEADER.fullmatch(header)
        if found is None:
            raise AgeError("the backup is not encrypted under a passphrase")
        work_factor = int(found[2])
        if work_factor > _MOST_WORK:
            raise AgeError(f"the backup asks for scrypt with 2^{work_factor}, more than 2^{_MOST_WORK}")
        key = _stretched(self._passphrase, _bytes(found[1]), work_factor)
        try:
            file_key = ChaCha20Poly1305(key).decrypt(bytes(12), _bytes(found[3]), None)
            _mac(file_key, header[: header.rfind(b"---") + 3]).verify(_bytes(found[4]))
            self._decrypt_payload(file_key, source, target)
        except (InvalidTag, InvalidSignature):
            raise AgeError(_NOT_OPENED) from None

    def _decrypt_payload(self, file_key: bytes, source: Readable, target: Writable) -> None:
        aead, counter = ChaCha20Poly1305(_derived(file_key, _exactly(source, _NONCE), b"payload")), 0
        size = _CHUNK + _TAG
        chunk = _exactly(source, size)
        while True:
            following = _exactly(source, size) if len(chunk) == size else b""
            plaintext = aead.decrypt(_nonce(counter, last=not following), chunk, None)
            if not plaintext and counter:
                raise AgeError("the backup is damaged: its last chunk is empty")
            target.write(plaintext)
            if not following:
                return
            chunk, counter = following, counter + 1


def is_under_passphrase(beginning: bytes) -> bool:
    """Tell whether an age file is encrypted under a passphrase, from its first bytes."""
    return beginning.startswith(MAGIC + b"-> scrypt ")


def _read_header(source: Readable) -> bytes:
    """Read the header up to and including the line with its MAC, and not a byte more."""
    header = b""
    while not re.search(rb"\n--- [^\n]*\n\Z", header):
        byte = source.read(1)
        if not byte or len(header) > _LONGEST_HEADER:
            raise AgeError("the backup is not encrypted under a passphrase, or is damaged")
        header += byte
    return header


def _stretched(passphrase: str, salt: bytes, work_factor: int) -> bytes:
    return Scrypt(salt=_LABEL + salt, length=32, n=1 << work_factor, r=8, p=1).derive(passphrase.encode())


def _derived(file_key: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(file_key)


def _mac(file_key: bytes, header: bytes) -> HMAC:
    mac = HMAC(_derived(file_key, b"", b"header"), SHA256())
    mac.update(header)
    return mac


def _nonce(counter: int, *, last: bool) -> bytes:
    return counter.to_bytes(11) + bytes((last,))


def _exactly(source: Readable, size: int) -> bytes:
    """Read ``size`` bytes, or fewer at the end."""
    parts = []
    while size:
        part = source.read(size)
        if not part:
            break
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _text(data: bytes) -> str:
    return b64encode(data).rstrip(b"=").decode()


def _bytes(text: bytes) -> bytes:
    """Decode base64 without padding; raises AgeError unless it is the only encoding of these bytes."""
    try:
        data = b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except Error:
        raise AgeError(_NOT_OPENED) from None
    if _text(data).encode() != text:
        raise AgeError(_NOT_OPENED)
    return data
