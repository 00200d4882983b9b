"""Where the verification and the restore of a backup get its root key from.

A backup of a deployment with seals contains its seal document: each seal opens it, as it opens the data folder. Of a
deployment that has a root key in a file alone, the operator keeps a copy of the file. A backup may also contain the
domain keys, unsealed: then a restore can do without the root key, and makes a new one.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path

import msgspec
from msgspec.structs import replace

from strongroom.assembly.data_folder import DataFolder
from strongroom.assembly.unsealing import Unsealing
from strongroom.crypto.seal import SealUnavailableError, UnsealError
from strongroom.crypto.seals.document import SealDocument, SealEntry, SealKind, decode_document, encode_document
from strongroom.crypto.seals.file import is_key_file, load_file_seal
from strongroom.crypto.seals.root_key import RootKeySeal
from strongroom.entropy import Entropy
from strongroom.whole_files import create_file, read_regular


class RootKeyKind(StrEnum):
    """Where the root key of a restored deployment comes from, as the record of the restore has it."""

    GIVEN = "given"
    """The operator has named a file."""
    SEALED = "sealed"
    """A seal in the backup has opened it."""
    NEW = "new"
    """It was made for the domain keys in the backup."""


class OpenedRootKey(msgspec.Struct, frozen=True, kw_only=True):
    """The root key of a backup, and what opens it in a new data folder.

    ``document`` is its seal document; None if it is in a file alone. ``key_files`` are the files that open, by the name
    that each has in a data folder.
    """

    kind: RootKeyKind
    seal: RootKeySeal
    document: SealDocument | None
    key_files: Mapping[str, Path]

    def install(self, folder: DataFolder) -> None:
        """Put the root key, or the seals with their key files, into a new data folder; raises OSError, UnsealError."""
        for name, path in self.key_files.items():
            create_file(folder.key_file(name), read_regular(path))
        if self.document is not None:
            create_file(folder.seal, encode_document(self.document))

    def without_key_file(self) -> dict[str, str]:
        """Return the seals that open nothing in a new data folder until their key file is there, with its name."""
        entries = () if self.document is None else self.document.entries
        named = {each.name: _file_of(each) for each in entries if each.kind is SealKind.FILE}
        return {name: file for name, file in named.items() if file not in self.key_files}


class RootKeySource:
    """What an operator gives to open a backup with."""

    def __init__(self, path: Path | None, unsealing: Unsealing, entropy: Entropy, *, may_lack: bool = False) -> None:
        """Take the root key from ``path``, or without it, from the seals in the backup.

        ``path`` is a copy of ``root.key``, of the key file of a seal, or of ``seal.json``, its key files beside it.
        With ``may_lack`` and without ``path``, a backup with domain keys need not have a seal that opens.
        """
        self._path = path
        self.unsealing = unsealing
        self._entropy = entropy
        self.may_lack = may_lack and path is None

    def open(self, in_backup: bytes | None) -> OpenedRootKey | None:
        """Return the root key; None if there is nothing to open.

        ``in_backup`` is the seal document in the backup. One that is given comes before it: it may have seals that were
        added later. Raises UnsealError, SealUnavailableError, OSError.
        """
        document = None if in_backup is None else decode_document(in_backup)
        if self._path is None:
            return None if document is None else self._opened_by_seals(document)
        content = read_regular(self._path)
        try:
            given = decode_document(content)
        except UnsealError:
            if not is_key_file(content):
                raise UnsealError(
                    f"`{self._path}` is neither a key file nor a seal document; give a copy of root.key, of the key "
                    "file of a seal, or of seal.json"
                ) from None
            return self._opened_by_key_file(self._path, document)
        return self._opened_beside(self._path.parent, given)

    def _opened_by_seals(self, document: SealDocument) -> OpenedRootKey:
        """Open the document in a backup by a seal that is no key file: those are not in a backup."""
        here = [each for each in document.entries if each.kind is not SealKind.FILE]
        files = [_file_of(each) for each in document.entries if each.kind is SealKind.FILE]
        give = f"give a copy of the key file `{files[0]}` with --root-key" if files else ""
        if not here:
            raise UnsealError(f"the backup has no seal but its key file; {give}")
        or_give = f"; or {give}" if files else ""
        try:
            return self._opened(RootKeyKind.SEALED, document, here, Path(), {})
        except UnsealError as error:
            raise UnsealError(f"{error}{or_give}") from None
        except SealUnavailableError as error:
            raise SealUnavailableError(f"{error}{or_give}") from None

    def _opened_by_key_file(self, path: Path, document: SealDocument | None) -> OpenedRootKey:
        """Open the root key with a key file and nothing else: any other seal would hide that the file does not."""
        if document is None:
            seal, name = load_file_seal(path, self._entropy), DataFolder(path.parent).root_key.name
            return OpenedRootKey(kind=RootKeyKind.GIVEN, seal=seal, document=None, key_files={name: path})
        files = [each for each in document.entries if each.kind is SealKind.FILE]
        if not files:
            raise UnsealError(
                f"the backup has no seal that the key file `{path}` opens; leave out --root-key: one of its seals "
                f"opens it ({', '.join(repr(each.name) for each in document.entries)})"
            )
        # It may have another name than in the data folder.
        located = [replace(each, parameters={"file": path.name}) for each in files]
        try:
            return self._opened(RootKeyKind.GIVEN, document, located, path.parent, {_file_of(files[0]): path})
        except UnsealError as error:
            raise UnsealError(
                f"{error}; give a copy of the key file that the deployment had at the time of the backup"
            ) from None

    def _opened_beside(self, folder: Path, document: SealDocument) -> OpenedRootKey:
        """Open a copy of a seal document by any of its seals, their key files beside it."""
        paths = {
            _file_of(each): folder / _file_of(each) for each in document.entries if self._opens(folder, document, each)
        }
        return self._opened(RootKeyKind.GIVEN, document, document.entries, folder, paths)

    def _opens(self, folder: Path, document: SealDocument, entry: SealEntry) -> bool:
        """Tell whether a seal is a key file in a folder that opens."""
        if entry.kind is not SealKind.FILE:
            return False
        try:
            self.unsealing.open_entry(DataFolder(folder), document, entry)
        except UnsealError:
            return False
        return True

    def _opened(
        self,
        kind: RootKeyKind,
        document: SealDocument,
        entries: Sequence[SealEntry],
        folder: Path,
        key_files: Mapping[str, Path],
    ) -> OpenedRootKey:
        """Return the root key, opened by some seals of a document."""
        root_key = self.unsealing.open_document(DataFolder(folder), replace(document, entries=tuple(entries)))
        document.require_authentic(root_key)
        return OpenedRootKey(
            kind=kind, seal=RootKeySeal(root_key, self._entropy), document=document, key_files=key_files
        )


def _file_of(entry: SealEntry) -> str:
    return str(entry.parameters.get("file", ""))
