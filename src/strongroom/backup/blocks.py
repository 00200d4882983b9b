r"""Blocks: the frames that a backup consists of. Pure.

Version 1, before encryption::

    "strongroom backup\n"   18 bytes
    version                 1 byte, 0x01
    blocks                  each: type, 1 byte; length of the payload, 4 bytes, big-endian; payload

    type  payload
    "S"   begins a section: JSON, {"name": …, "columns": […]}
    "R"   rows of the section: MessagePack, an array of rows, each an array with a value for each column; zlib
    "M"   the manifest, JSON, once, after the last section
    "G"   the signature of the manifest by the audit key, 64 bytes; the last block

A section of a table has the table's name. Names that begin with ``$`` are other content. Values are null, booleans,
integers, doubles, texts and byte strings, so a row does not depend on the database that it was read from.
"""

import zlib
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Annotated, Any

import msgspec

MAGIC = b"strongroom backup\n"
VERSION = 1
MAX_PAYLOAD = 64 << 20
"""The most bytes of a payload, compressed or not: what a reader needs memory for."""

ROWS_PER_BLOCK = 1000
BYTES_PER_BLOCK = 256 << 10
"""A block of rows ends after so many rows, or bytes of them."""

_HEAD = 5
_LEVEL = 6

Value = bool | int | float | str | bytes | None
Row = Sequence[Value]

_MOST_COLUMNS = 1000
_CAREFUL = 4 << 20
_FewRows = msgspec.Meta(max_length=ROWS_PER_BLOCK)
_FewColumns = msgspec.Meta(max_length=_MOST_COLUMNS)
_rows = msgspec.msgpack.Decoder(Annotated[list[Annotated[list[Any], _FewColumns]], _FewRows])
_raw_rows = msgspec.msgpack.Decoder(Annotated[list[Annotated[list[msgspec.Raw], _FewColumns]], _FewRows])
"""Lists are refused by their length before they are read: a block of kilobytes could fill gigabytes of memory."""

_TYPES = frozenset({bool, int, float, str, bytes, type(None)})
_CONTAINERS = frozenset((*range(0x80, 0xA0), *range(0xDC, 0xE0)))
"""How arrays and maps begin in MessagePack."""
_encode_row = msgspec.msgpack.Encoder().encode


class BackupError(Exception):
    """A backup is damaged, not authentic, of another format, or cannot be made; the message says which."""


class BlockType(Enum):
    """The types of blocks."""

    SECTION = b"S"
    ROWS = b"R"
    MANIFEST = b"M"
    SIGNATURE = b"G"


class SectionHead(msgspec.Struct, frozen=True):
    """The beginning of a section: its name and the names of its columns."""

    name: str
    columns: tuple[str, ...]


def encode_block(kind: BlockType, payload: bytes) -> bytes:
    """Return a block; raises BackupError if the payload is too large."""
    if len(payload) > MAX_PAYLOAD:
        raise BackupError(f"a block of {len(payload)} bytes is too large for a backup")
    return kind.value + len(payload).to_bytes(4) + payload


def encode_rows(rows: Sequence[bytes]) -> bytes:
    """Return a block of rows that ``encode_row`` has made, compressed; raises BackupError if they are too large."""
    payload = _array_head(len(rows)) + b"".join(rows)
    if len(payload) > MAX_PAYLOAD:
        raise BackupError(f"rows of {len(payload)} bytes are too large for a backup")
    return encode_block(BlockType.ROWS, zlib.compress(payload, _LEVEL))


def encode_row(row: Row) -> bytes:
    """Return a row as MessagePack. Text that is no UTF-8, which only a damaged row has, becomes a byte string."""
    try:
        return _encode_row(tuple(row))
    except UnicodeEncodeError:
        return _encode_row(tuple(_bytes_if_damaged(value) for value in row))


def decode_rows(payload: bytes) -> list[list[Value]]:
    """Return the rows of a block; raises BackupError."""
    inflating = zlib.decompressobj()
    try:
        content = inflating.decompress(payload, MAX_PAYLOAD)
        if not inflating.eof or inflating.unused_data:
            raise BackupError("the backup is damaged: a block of rows does not end where it should")
        # A list within a row is found before it is read, where that could need much memory.
        careful = _raw_rows.decode(content) if len(content) > _CAREFUL else ()
        nested = any(memoryview(value)[0] in _CONTAINERS for row in careful for value in row)
        rows = [] if nested else _rows.decode(content)
    except (zlib.error, msgspec.DecodeError):
        raise BackupError("the backup is damaged: a block of rows cannot be read") from None
    if nested or any(type(value) not in _TYPES for row in rows for value in row):
        raise BackupError("the backup is damaged: a row has a value of another type")
    return rows


def read_block(read: Callable[[int], bytes]) -> tuple[BlockType, bytes] | None:
    """Return the type and the payload of the next block, None at the end of the file; raises BackupError.

    ``read(n)`` returns n bytes, or fewer at the end of the file.
    """
    head = read(_HEAD)
    if not head:
        return None
    try:
        kind = BlockType(head[:1])
    except ValueError:
        raise BackupError("the backup is damaged: there is something between its blocks") from None
    length = int.from_bytes(head[1:])
    if len(head) < _HEAD or length > MAX_PAYLOAD:
        raise BackupError("the backup is damaged: a block has no good length")
    payload = read(length)
    if len(payload) < length:
        raise BackupError("the backup is not complete: it ends within a block")
    return kind, payload


def _bytes_if_damaged(value: Value) -> Value:
    if not isinstance(value, str):
        return value
    encoded = value.encode(errors="surrogateescape")
    return value if value.isascii() or encoded == value.encode(errors="replace") else encoded


def _array_head(length: int) -> bytes:
    """Return how MessagePack begins an array (its specification, "array format family")."""
    return b"\xdd" + length.to_bytes(4)
