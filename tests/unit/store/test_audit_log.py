"""The audit log: whole lines, in order, or a refusal that leaves no trace."""

import os
import stat
from pathlib import Path

import pytest

from strongroom.errors import KMSInternalException
from strongroom.store.audit_log import AuditLog


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


@pytest.mark.parametrize("durability", ["write", "fsync"])
def test_one_flush_writes_every_line_in_order(path: Path, durability: str) -> None:
    log = AuditLog(path, "fsync" if durability == "fsync" else "write")
    log.append(b"one")
    log.append(b"two")
    assert path.read_bytes() == b""
    log.flush()
    assert path.read_bytes() == b"one\ntwo\n"
    log.flush()
    log.append(b"three")
    log.close()
    assert path.read_bytes() == b"one\ntwo\nthree\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_torn_line_is_ended_at_the_next_start(path: Path) -> None:
    path.write_bytes(b"whole\nto")
    log = AuditLog(path, "write")
    log.append(b"next")
    log.close()
    assert path.read_bytes() == b"whole\nto\nnext\n"


def test_a_full_disk_refuses_and_recovers(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = AuditLog(path, "write")
    log.append(b"before")
    log.flush()
    real = os.write

    def half_then_full(descriptor: int, data: bytes) -> int:
        if path.stat().st_size > 7:
            raise OSError(28, "No space left on device")
        return real(descriptor, data[:3])

    monkeypatch.setattr(os, "write", half_then_full)
    log.append(b"during")
    with pytest.raises(KMSInternalException):
        log.flush()
    assert path.read_bytes() == b"before\n"
    monkeypatch.setattr(os, "write", real)
    log.append(b"after")
    log.flush()
    log.close()
    assert path.read_bytes() == b"before\nafter\n"
