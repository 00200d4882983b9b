"""Writes a backup: the sections, then the manifest and its signature. Pure."""

from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256

import msgspec

from strongroom.backup.blocks import (
    BYTES_PER_BLOCK,
    MAGIC,
    ROWS_PER_BLOCK,
    VERSION,
    BlockType,
    Row,
    SectionHead,
    encode_block,
    encode_row,
    encode_rows,
)
from strongroom.backup.manifest import Manifest, SectionSummary, signed_bytes


class Section(msgspec.Struct, frozen=True):
    """A section to write: its head, and its rows in their order."""

    head: SectionHead
    rows: Iterable[Row]


def write_backup(
    sections: Iterable[Section],
    manifest: Callable[[tuple[SectionSummary, ...]], Manifest],
    sign: Callable[[bytes], bytes],
) -> Iterator[bytes]:
    """Yield the bytes of a backup.

    ``manifest`` is called once, after the last section. ``sign`` returns the audit key's signature. Memory holds one
    block of rows. Raises BackupError for a row that is too large.
    """
    yield MAGIC + bytes((VERSION,))
    summaries = []
    for section in sections:
        digest, count = sha256(), 0
        for rows, block in _blocks(section):
            digest.update(block)
            count += rows
            yield block
        summaries.append(SectionSummary(section.head.name, count, digest.hexdigest()))
    encoded = msgspec.json.encode(manifest(tuple(summaries)))
    yield encode_block(BlockType.MANIFEST, encoded)
    yield encode_block(BlockType.SIGNATURE, sign(signed_bytes(encoded)))


def _blocks(section: Section) -> Iterator[tuple[int, bytes]]:
    """Yield the blocks of a section, each with the number of its rows."""
    yield 0, encode_block(BlockType.SECTION, msgspec.json.encode(section.head))
    waiting: list[bytes] = []
    size = 0
    for row in section.rows:
        encoded = encode_row(row)
        waiting.append(encoded)
        size += len(encoded)
        if len(waiting) >= ROWS_PER_BLOCK or size >= BYTES_PER_BLOCK:
            yield len(waiting), encode_rows(waiting)
            waiting, size = [], 0
    if waiting:
        yield len(waiting), encode_rows(waiting)
