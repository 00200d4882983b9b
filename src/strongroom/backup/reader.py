"""Reads a backup block by block, and compares what was read with its manifest. Pure."""

from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import TypeVar

import msgspec

from strongroom.backup.blocks import (
    MAGIC,
    VERSION,
    BackupError,
    BlockType,
    SectionHead,
    Value,
    decode_rows,
    read_block,
)
from strongroom.backup.manifest import Manifest, SectionSummary, SignedManifest

T = TypeVar("T")

SIGNATURE_LENGTH = 64
MOST_SECTIONS = 1000


class OpenSection:
    """A section that is being read. ``rows`` can be iterated once, before the next section begins."""

    def __init__(self, head: SectionHead, rows: Iterator[list[list[Value]]]) -> None:
        self.name = head.name
        self.columns = head.columns
        self.batches = rows
        """The rows, a block at a time."""


class BackupReader:
    """Reads one backup. Memory holds one block.

    A row that was read is authentic only after the end: the manifest comes last. Every method raises BackupError.
    """

    def __init__(self, read: Callable[[int], bytes]) -> None:
        """Read from ``read(n)``, which returns n bytes, or fewer at the end of the file."""
        head = read(len(MAGIC) + 1)
        if head[:-1] != MAGIC:
            raise BackupError("this is not a backup of Strongroom")
        if head[-1] != VERSION:
            raise BackupError(
                f"the backup has format {head[-1]}, and this release of Strongroom reads format {VERSION}; "
                "use the release that made it, or a later one"
            )
        self._read = read
        self._summaries: list[SectionSummary] = []
        self._next: tuple[BlockType, bytes] | None = None
        self._signed: SignedManifest | None = None

    def sections(self) -> Iterator[OpenSection]:
        """Yield every section. What is left of its rows is read before the next; at last the manifest is checked."""
        names: set[str] = set()
        self._next = read_block(self._read)
        while self._next is not None and self._next[0] is BlockType.SECTION:
            head = _decoded(self._next[1], SectionHead)
            if len(names) >= MOST_SECTIONS:
                raise BackupError(f"the backup has more than {MOST_SECTIONS} sections")
            if head.name in names:
                raise BackupError(f"the backup is damaged: section `{head.name}` is there twice")
            names.add(head.name)
            batches = self._batches(head)
            yield OpenSection(head, batches)
            for _ in batches:
                pass
        self._finish()

    @property
    def signed_manifest(self) -> SignedManifest:
        """The manifest, after all sections were read. Nothing has verified its signature yet."""
        if self._signed is None:
            raise BackupError("the backup is not complete: it has no manifest")
        return self._signed

    def _batches(self, head: SectionHead) -> Iterator[list[list[Value]]]:
        assert self._next is not None  # noqa: S101 - for the type checker
        digest = sha256()
        _hash(digest.update, *self._next)
        count = 0
        while True:
            self._next = read_block(self._read)
            if self._next is None or self._next[0] is not BlockType.ROWS:
                break
            _hash(digest.update, *self._next)
            rows = decode_rows(self._next[1])
            if any(len(row) != len(head.columns) for row in rows):
                raise BackupError(f"the backup is damaged: a row of section `{head.name}` has not its columns")
            count += len(rows)
            yield rows
        self._summaries.append(SectionSummary(head.name, count, digest.hexdigest()))

    def _finish(self) -> None:
        """Read the manifest and the signature, and compare the manifest with what was read."""
        if self._next is None:
            raise BackupError("the backup is not complete: it ends before its manifest")
        kind, encoded = self._next
        signature = read_block(self._read) if kind is BlockType.MANIFEST else None
        if signature is None or signature[0] is not BlockType.SIGNATURE or len(signature[1]) != SIGNATURE_LENGTH:
            raise BackupError("the backup is damaged or not complete: manifest and signature must end it")
        if self._read(1):
            raise BackupError("the backup is damaged: there is something after its end")
        manifest = _decoded(encoded, Manifest)
        if manifest.sections != tuple(self._summaries):
            different = sorted({each.name for each in {*manifest.sections} ^ {*self._summaries}})
            raise BackupError(f"the backup is damaged: {', '.join(different)} are not what the manifest says")
        self._signed = SignedManifest(manifest, encoded, signature[1])


def _hash(update: Callable[[bytes], object], kind: BlockType, payload: bytes) -> None:
    update(kind.value + len(payload).to_bytes(4))
    update(payload)


def _decoded(payload: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(payload, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BackupError(f"the backup is damaged: its {kind.__name__} cannot be read") from None
