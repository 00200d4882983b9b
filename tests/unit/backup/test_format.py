"""The format of backups: what was written is read, and nothing else is."""

import io
import tracemalloc
import zlib

import msgspec
import pytest

from backups import COLUMNS, KEY, ROWS, manifest_of, read_all, small_backup, written
from strongroom.assembly.backups.streams import ChunkSource
from strongroom.backup.blocks import MAGIC, VERSION, BackupError, BlockType, SectionHead, encode_block, encode_rows
from strongroom.backup.reader import BackupReader
from strongroom.backup.writer import Section, write_backup
from strongroom.crypto.audit_key import AuditKey


def test_what_was_written_is_read() -> None:
    found, signed = read_all(small_backup())
    assert [tuple(row) for row in found["things"]] == ROWS
    assert found["none"] == []
    assert [row[0] for row in found["many"]] == [f"row {number}" for number in range(2500)]
    assert signed.manifest == manifest_of(signed.manifest.sections)
    assert [(each.name, each.rows) for each in signed.manifest.sections] == [("things", 2), ("none", 0), ("many", 2500)]
    assert signed.is_signed_by(KEY.public().verifies)
    assert not signed.is_signed_by(AuditKey(bytes(32)).public().verifies)


def test_a_section_that_is_not_read_is_checked_all_the_same() -> None:
    reader = BackupReader(io.BytesIO(small_backup()).read)
    assert [section.name for section in reader.sections()] == ["things", "none", "many"]
    assert reader.signed_manifest.manifest.rows_of("many") == 2500


def test_every_byte_counts() -> None:
    content = written([Section(SectionHead("things", COLUMNS), ROWS)])
    _, signed = read_all(content)
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1
        try:
            _, other = read_all(bytes(damaged))
        except BackupError:
            continue
        # Only the signature of the manifest finds these.
        assert not other.is_signed_by(KEY.public().verifies)
        assert other != signed


def test_no_part_of_a_backup_passes_for_all_of_it() -> None:
    content = small_backup()
    for length in (*range(0, len(content), 97), len(content) - 1):
        with pytest.raises(BackupError):
            read_all(content[:length])
    with pytest.raises(BackupError, match="after its end"):
        read_all(content + b"\x00")


def test_a_section_that_is_missing_or_there_twice_is_found() -> None:
    parts = [Section(SectionHead(name, ("name",)), [("x",)]) for name in ("a", "b")]
    whole, first = written(parts), written(parts[:1])
    end = first.index(BlockType.MANIFEST.value + b"\x00\x00")
    with pytest.raises(BackupError, match="b are not what the manifest says"):
        read_all(first[:end] + whole[whole.index(BlockType.MANIFEST.value + b"\x00\x00") :])
    with pytest.raises(BackupError, match="`a` is there twice"):
        read_all(written([parts[0], parts[0]]))


def test_another_format_and_another_file_are_refused() -> None:
    with pytest.raises(BackupError, match="not a backup of Strongroom"):
        read_all(b"SQLite format 3\x00 and more")
    with pytest.raises(BackupError, match="has format 2"):
        read_all(MAGIC + bytes((VERSION + 1,)) + small_backup()[19:])


def test_rows_that_would_fill_the_memory_are_refused() -> None:
    bomb = encode_block(BlockType.ROWS, zlib.compress(bytes(65 << 20)))
    head = encode_block(BlockType.SECTION, msgspec.json.encode(SectionHead("things", ("name",))))
    with pytest.raises(BackupError, match="does not end where it should"):
        read_all(MAGIC + bytes((VERSION,)) + head + bomb)
    with pytest.raises(BackupError, match="no good length"):
        read_all(MAGIC + bytes((VERSION,)) + head + BlockType.ROWS.value + (65 << 20).to_bytes(4))
    with pytest.raises(BackupError, match="too large"):
        encode_rows([bytes(65 << 20)])


@pytest.mark.parametrize("row", [(), ("x", "y"), ({"a": 1},), (["x"],)])
def test_a_row_of_another_shape_is_refused(row: tuple[object, ...]) -> None:
    rows = encode_rows([msgspec.msgpack.encode(row)])
    head = encode_block(BlockType.SECTION, msgspec.json.encode(SectionHead("things", ("name",))))
    with pytest.raises(BackupError, match="damaged"):
        read_all(MAGIC + bytes((VERSION,)) + head + rows)


def test_memory_does_not_grow_with_the_number_of_rows() -> None:
    def peak(rows: int) -> int:
        section = Section(SectionHead("many", ("name",)), ((f"{number:0200}",) for number in range(rows)))
        tracemalloc.start()
        reader = BackupReader(ChunkSource(write_backup([section], manifest_of, KEY.sign)).read)
        for each in reader.sections():
            assert sum(map(len, each.batches)) == rows
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    small, large = peak(5_000), peak(50_000)
    assert large < small * 1.2
