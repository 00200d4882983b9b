"""Small backups that ask for much memory or time, or would write to a terminal, are refused early."""

import io
import tracemalloc
import zlib

import msgspec
import pytest

from backups import manifest_of, read_all
from strongroom.backup.blocks import MAGIC, VERSION, BackupError, BlockType, encode_block, encode_row
from strongroom.backup.manifest import Manifest
from strongroom.backup.reader import MOST_SECTIONS, BackupReader

COUNT = 5_000_000
LENGTH = b"\xdd" + COUNT.to_bytes(4)
EMPTY = b"\x90" * COUNT


def section(name: str) -> bytes:
    return encode_block(BlockType.SECTION, msgspec.json.encode({"name": name, "columns": ["a"]}))


@pytest.mark.parametrize(
    "payload",
    [LENGTH + EMPTY, b"\x91" + LENGTH + EMPTY, b"\x91\x91" + LENGTH + EMPTY],
    ids=["rows", "columns", "a list in a row"],
)
def test_a_block_of_kilobytes_does_not_fill_the_memory(payload: bytes) -> None:
    block = encode_block(BlockType.ROWS, zlib.compress(payload))
    assert len(block) < 20_000
    tracemalloc.start()
    with pytest.raises(BackupError, match="damaged"):
        read_all(MAGIC + bytes((VERSION,)) + section("a") + block)
    assert tracemalloc.get_traced_memory()[1] < 40 << 20
    tracemalloc.stop()


def test_sections_without_end_are_refused() -> None:
    many = b"".join(section(f"s{number}") for number in range(MOST_SECTIONS + 1))
    reader = BackupReader(io.BytesIO(MAGIC + bytes((VERSION,)) + many).read)
    with pytest.raises(BackupError, match="sections"):
        for _ in reader.sections():
            pass


@pytest.mark.parametrize(
    ("member", "value"),
    [("release", "\x1b[2J"), ("node", "a\nThe backup is whole."), ("schema", "head"), ("schema", ""), ("at", 1e300)],
)
def test_a_manifest_has_plain_names_and_a_possible_time(member: str, value: object) -> None:
    manifest = msgspec.to_builtins(manifest_of(())) | {member: value}
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(manifest), type=Manifest)


def test_text_of_a_damaged_row_becomes_bytes() -> None:
    row = encode_row(("caf\N{LATIN SMALL LETTER E WITH ACUTE}", "a\udcff", 5))
    assert msgspec.msgpack.decode(row) == ["caf\N{LATIN SMALL LETTER E WITH ACUTE}", b"a\xff", 5]
