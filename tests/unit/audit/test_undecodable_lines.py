"""Lines that are no longer UTF-8, as one flipped bit makes them, are refused or passed over, and never a traceback."""

from collections.abc import Callable
from pathlib import Path

import pytest

from strongroom.audit.archive import Statements
from strongroom.audit.chain import checkpoint_in, header_in, note_in
from strongroom.audit.search import read_record
from strongroom.backup.destructions import _MARKS, Destructions
from strongroom.crypto.seal import UnsealError
from strongroom.crypto.seals.file import load_file_seal
from strongroom.entropy import system_entropy
from strongroom.usage.recorded_uses import uses_in

BAD = b'"\xe2"'


@pytest.mark.parametrize(
    ("read", "line"),
    [
        (checkpoint_in, b'{"checkpoint":{},"signature":%b}'),
        (header_in, b'{"segment":{"name":%b,"previous":"a"}}'),
        (note_in, b'{"database":{"position":{"history":1,"historyId":%b,"change":1},"time":"x"}}'),
        (note_in, b'{"segment":{"name":%b,"previous":"a"}}'),
        (read_record, b'{"eventTime":%b,"eventName":"Decrypt"}'),
        (lambda line: [*uses_in([line], frozenset({"Decrypt"}))] or None, b'{"eventTime":%b,"eventName":"Decrypt"}'),
    ],
)
def test_a_line_is_passed_over(read: Callable[[bytes], object], line: bytes) -> None:
    assert read(line % BAD) is None


def test_a_statement_is_passed_over() -> None:
    stated = Statements()
    stated.add("cli", b'{"eventSource":%b,"eventName":"ArchiveAuditLog"}' % BAD)
    assert not stated.folders


def test_a_destruction_is_passed_over() -> None:
    found = Destructions({}, None, "2026-01-01T00:00:00Z")
    found.note(b'{"eventName":%b,"eventTime":%b}' % (_MARKS[0], BAD), None)
    assert not found.keys


def test_a_root_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "root.key"
    path.write_bytes(b'{"key":%b}' % BAD)
    path.chmod(0o600)
    with pytest.raises(UnsealError, match=r"root\.key"):
        load_file_seal(path, system_entropy)
