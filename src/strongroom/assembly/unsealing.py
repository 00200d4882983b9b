"""Opens the root key of a data folder: with the first of its seals that opens.

The root key is in ``root.key`` until a seal is added. From then on ``seal.json`` has it, wrapped by each seal. A
rotation of the root key writes the next document beside it, commits the domain keys under the new root key, and only
then puts the document in place. So the domain keys tell which of the two documents is the right one, whenever the
rotation was interrupted.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.crypto.seal import SealedDomainKey, SealUnavailableError, Unsealed, UnsealError
from strongroom.crypto.seals.document import SealDocument, SealEntry, SealKind, decode_document, root_key_binding
from strongroom.crypto.seals.file import FileKeeper, load_key_file
from strongroom.crypto.seals.keeper import RootKeyKeeper
from strongroom.crypto.seals.kms import KmsKeeper
from strongroom.crypto.seals.passphrase import PassphraseKeeper
from strongroom.crypto.seals.pkcs11 import Pkcs11Keeper, SealToken
from strongroom.crypto.seals.root_key import FIRST_GENERATION, RootKey, RootKeySeal, generation_of
from strongroom.crypto.seals.tpm import TpmKeeper
from strongroom.entropy import Entropy
from strongroom.settings import Settings
from strongroom.store.protocol import Readable
from strongroom.whole_files import read_regular

T = TypeVar("T")

_ORDER = tuple(SealKind)
_MOST_PASSPHRASE = 4096


class NoSealOpensError(UnsealError):
    """No seal of a document opens. ``failures`` says of each why; some of them say what to do about it."""

    def __init__(self, failures: Sequence[str], document: str = "") -> None:
        """Take the failures, and what messages call the document."""
        self.failures = tuple(failures)
        words = "; ".join(failures)
        super().__init__(f"{document}: {words}" if document else words)


class Unsealing:
    """Opens seals. It asks for a passphrase once for each seal, and remembers the root key that was opened last."""

    def __init__(
        self,
        settings: Settings,
        entropy: Entropy,
        ask: Callable[[str], str] | None = None,
        known: Unsealed | None = None,
        *,
        ask_pin: Callable[[str], str] | None = None,
    ) -> None:
        """Take passphrases and the PIN from the files of the settings. Without one, ask a person, if there is one.

        ``ask`` is given the name of a seal, ``ask_pin`` that of a token, for which it may return an empty PIN.
        ``known`` is what another process has found out.
        """
        self.settings = settings
        self._file = settings.seal_passphrase_file
        self._entropy = entropy
        self._ask = ask
        self._ask_pin = ask_pin
        self._passphrases = {} if known is None else dict(known.passphrases)
        self._pin = None if known is None else known.pin
        self._root_key = None if known is None else RootKey(known.root_key, known.generation)
        self.document_of: Callable[[DataFolder, int | None], SealDocument | None] = document_of
        """Returns the seal document of a generation, as ``document_of`` does; a shared database has its own."""
        self.token: SealToken | None = None
        """The hardware token of the settings, if something has opened one."""
        self.opened_by = ""
        """The name of the seal that has opened; empty if the root key was known, or is in ``root.key``."""

    def known(self) -> Unsealed | None:
        """Return what was found out, for another process."""
        if self._root_key is None:
            return None
        return Unsealed(self._root_key.key, self._root_key.generation, self._passphrases, self._pin)

    def pin(self) -> str:
        """Return the PIN of the hardware token, read or asked for once; empty if there is none. Raises UnsealError."""
        if self._pin is None:
            self._pin = self._new_pin()
        return self._pin

    def _new_pin(self) -> str:
        if self.settings.pkcs11_pin_file is not None:
            return read_passphrase(self.settings.pkcs11_pin_file, "`pkcs11-pin-file`", "PIN")
        return "" if self._ask_pin is None else self._ask_pin(self.settings.pkcs11_token or "")

    def seal(self, folder: DataFolder, sealed: Sequence[SealedDomainKey]) -> RootKeySeal:
        """Return the seal of the root key that has sealed domain keys, or without any, of the one that is there.

        Raises DataFolderError if nothing keeps a root key, UnsealError if no seal opens, SealUnavailableError if one
        may later.
        """
        generation = None if not sealed else generation_of(sealed[0])
        if self._root_key is None or generation != self._root_key.generation:
            self._root_key = self._open(folder, generation)
        return RootKeySeal(self._root_key, self._entropy)

    def _open(self, folder: DataFolder, generation: int | None) -> RootKey:
        document = self.document_of(folder, generation)
        if document is None:
            return self.open_file(folder)
        try:
            root_key = self.open_document(folder, document)
            document.require_authentic(root_key)
        except NoSealOpensError as error:
            raise NoSealOpensError(error.failures, folder.seal_name) from None
        except UnsealError as error:
            raise UnsealError(f"{folder.seal_name}: {error}") from None
        except SealUnavailableError as error:
            raise SealUnavailableError(f"{folder.seal_name}: {error}") from None
        return root_key

    def open_file(self, folder: DataFolder) -> RootKey:
        """Return the root key that is in ``root.key`` alone; raises DataFolderError, UnsealError."""
        self.opened_by = ""
        return RootKey(_plain_root_key(folder))

    def open_document(self, folder: DataFolder, document: SealDocument) -> RootKey:
        """Return the root key, opened by the first seal that can; raises NoSealOpensError, SealUnavailableError."""
        failures: list[str] = []
        unavailable = False
        for entry in sorted(document.entries, key=lambda each: _ORDER.index(each.kind)):
            try:
                root_key = self.open_entry(folder, document, entry)
            except UnsealError as error:
                failures.append(f"seal {entry.name!a}: {error}")
            except SealUnavailableError as error:
                failures.append(f"seal {entry.name!a}: {error}")
                unavailable = True
            else:
                self.opened_by = entry.name
                return root_key
        raise SealUnavailableError("; ".join(failures)) if unavailable else NoSealOpensError(failures)

    def open_entry(self, folder: DataFolder, document: SealDocument, entry: SealEntry) -> RootKey:
        """Return the root key as one seal opens it; raises UnsealError, SealUnavailableError."""
        keeper = self.keeper(folder, document.deployment, entry)
        return RootKey(keeper.unwrap(entry.wrapped, root_key_binding(document, entry)), document.generation)

    def keeper(self, folder: DataFolder, deployment: str, entry: SealEntry) -> RootKeyKeeper:
        """Return what opens a seal of a folder."""
        if entry.kind is SealKind.FILE:
            return FileKeeper(folder.path / str(entry.parameters.get("file", "")), self._entropy)
        if entry.kind is SealKind.KMS:
            return KmsKeeper(entry.parameters, deployment)
        if entry.kind is SealKind.TPM:
            return TpmKeeper(entry.parameters, self._entropy)
        if entry.kind is SealKind.PKCS11:
            return Pkcs11Keeper(entry.parameters, self.token, self._entropy)
        return PassphraseKeeper(entry.parameters, lambda: self._passphrase(entry.name), self._entropy)

    def _passphrase(self, name: str) -> str:
        """Return the passphrase of a seal; raises UnsealError if there is no way to get it."""
        if name not in self._passphrases:
            self._passphrases[name] = self._new_passphrase(name)
        return self._passphrases[name]

    def _new_passphrase(self, name: str) -> str:
        if self._file is not None:
            return read_passphrase(self._file)
        if self._ask is not None:
            return self._ask(name)
        raise UnsealError("it needs its passphrase: name a file with it in the setting `seal-passphrase-file`")

    def give_passphrase(self, name: str, passphrase: str) -> None:
        """Take the passphrase of a seal that is being made."""
        self._passphrases[name] = passphrase


def while_resealed(store: Readable, act: Callable[[list[SealedDomainKey]], T]) -> T:
    """Return what ``act`` returns for the domain keys of a store, whose root key it opens.

    It may read them, and then the seals, which another command has replaced meanwhile: a rotation of the root key
    replaces both. Where it fails because of that, it is called again.
    """
    while True:
        sealed = _domain_keys(store)
        try:
            return act(sealed)
        except (UnsealError, SealUnavailableError, DataFolderError):
            if not _were_resealed(sealed, _domain_keys(store)):
                raise


def _were_resealed(before: Sequence[SealedDomainKey], after: Sequence[SealedDomainKey]) -> bool:
    """Tell whether the root key was rotated between two readings of the domain keys."""
    return bool(before and after) and generation_of(before[0]) != generation_of(after[0])


def _domain_keys(store: Readable) -> list[SealedDomainKey]:
    with store.read() as reader:
        return reader.domain_keys()


def read_passphrase(file: str, named_by: str = "`seal-passphrase-file`", what: str = "passphrase") -> str:
    """Return the first line of a file; raises UnsealError, which names it and the setting. It may be a pipe."""
    try:
        with open(file, "rb") as opened:  # noqa: PTH123 - also /dev/fd/N
            lines = opened.read(_MOST_PASSPHRASE).decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UnsealError(f"`{file}` in {named_by} cannot be read: {reason}") from None
    if not lines or not lines[0]:
        raise UnsealError(f"`{file}` in {named_by} has no {what} in its first line")
    return lines[0]


def document_of(folder: DataFolder, generation: int | None) -> SealDocument | None:
    """Return the seal document of a generation of the root key; None if the root key is in ``root.key``.

    Without a generation, that of ``seal.json``. Raises UnsealError if the document that is needed is not there.
    """
    # The next one first: read in the other order, a rotation that ends in between would hide it.
    following, present = read_document(folder.next_seal), read_document(folder.seal)
    if generation is None:
        return present or following
    found = [each for each in (present, following) if each is not None]
    for document in found:
        if document.generation == generation:
            return document
    if generation == FIRST_GENERATION and present is None:
        # If the next document is there, the first rotation goes on, or was interrupted before its commit.
        return None
    there = f"is of generation {found[0].generation}" if found else "is missing"
    raise UnsealError(
        f"`{folder.seal}` {there}, and the domain keys in {folder.database_name} are sealed by generation "
        f"{generation} of the root key; restore the file that belongs to the database"
    )


def not_its_root_key(folder: DataFolder) -> str:
    """Return what is wrong with a root key that opens no domain key, in a sentence without its end."""
    if folder.seal.exists():
        return f"`{folder.seal}` does not have the root key of {folder.database_name}"
    return f"`{folder.root_key}` is not the root key of {folder.database_name}"


def read_document(path: Path) -> SealDocument | None:
    """Return the document in a file, None if there is no such file; raises UnsealError."""
    try:
        content = read_regular(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnsealError(f"`{path}` cannot be read: {error.strerror}") from None
    try:
        return decode_document(content)
    except UnsealError as error:
        raise UnsealError(f"`{path}`: {error}") from None


def _plain_root_key(folder: DataFolder) -> bytes:
    if folder.root_key.exists():
        return load_key_file(folder.root_key)
    if folder.root_key.is_symlink():
        raise DataFolderError(
            f"`{folder.root_key}` is a symbolic link to `{folder.root_key.readlink()}`, which is missing; "
            "mount or restore that file, or remove the link"
        )
    if folder.is_shared:
        raise DataFolderError(
            f"`{folder.root_key}` is missing: copy the file, with mode 0600, from the data folder of a node that "
            f"serves {folder.database_name}"
        )
    raise DataFolderError(f"`{folder.root_key}` is missing; without it no key can be used. Restore it.")
