"""Where the verification and the restore of a backup get its root key from.

A backup of a deployment with seals contains its seal document: each seal opens it, as it opens the data folder. Of a
deployment that has a root key in a file alone, the operator keeps a copy of the file.
"""

from pathlib import Path

from msgspec.structs import replace

from strongroom.assembly.data_folder import DataFolder
from strongroom.assembly.unsealing import Unsealing
from strongroom.crypto.seal import UnsealError
from strongroom.crypto.seals.document import SealDocument, SealKind, decode_document, encode_document
from strongroom.crypto.seals.file import load_file_seal
from strongroom.crypto.seals.root_key import RootKeySeal
from strongroom.entropy import Entropy
from strongroom.whole_files import create_file, read_regular


class RootKeySource:
    """What an operator gives to open a backup with."""

    def __init__(self, path: Path | None, unsealing: Unsealing, entropy: Entropy) -> None:
        """Take the root key from ``path``, or without it, from the seals in the backup.

        ``path`` is a copy of ``root.key``, of the key file of a seal, or of ``seal.json``, its key files beside it.
        """
        self.path = path
        self.unsealing = unsealing
        self._entropy = entropy

    def seal(self, in_backup: bytes | None) -> RootKeySeal | None:
        """Return the seal of the root key; None if there is nothing to open.

        ``in_backup`` is the seal document in the backup. Raises UnsealError, SealUnavailableError, OSError.
        """
        document = self._document(in_backup)
        if document is None:
            return None if self.path is None else load_file_seal(self.path, self._entropy)
        folder = Path() if self.path is None else self.path.parent
        root_key = self.unsealing.open_document(DataFolder(folder), self._located(document))
        document.require_authentic(root_key)
        return RootKeySeal(root_key, self._entropy)

    def install(self, folder: DataFolder, in_backup: bytes | None) -> None:
        """Put the root key, or the seals with their key files, into a new data folder; raises OSError, UnsealError."""
        document = self._document(in_backup)
        if document is None:
            if self.path is not None:
                create_file(folder.root_key, read_regular(self.path))
            return
        for entry in self._located(document).entries:
            if entry.kind is SealKind.FILE and self.path is not None:
                here, there = self.path.parent / str(entry.parameters["file"]), document.entry(entry.name)
                if here.exists() and there is not None:
                    create_file(folder.key_file(str(there.parameters["file"])), read_regular(here))
        create_file(folder.seal, encode_document(document))

    def _document(self, in_backup: bytes | None) -> SealDocument | None:
        """Return the document that counts: one that is given comes before the one in the backup."""
        if self.path is not None:
            try:
                return decode_document(read_regular(self.path))
            except UnsealError:
                pass  # It is a key file.
        return None if in_backup is None else decode_document(in_backup)

    def _located(self, document: SealDocument) -> SealDocument:
        """Return the document as it is opened here: a key file that is given may have another name than it had."""
        if self.path is None or self.path.suffix == ".json":
            return document
        entries = tuple(
            replace(each, parameters={"file": self.path.name}) if each.kind is SealKind.FILE else each
            for each in document.entries
        )
        return replace(document, entries=entries)
