"""A folder of segments, and a folder that they are shipped to."""

from pathlib import Path

import pytest

from audit_disk import Disk


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    (tmp_path / "audit").mkdir()
    return Disk(tmp_path / "audit", monkeypatch)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    (tmp_path / "copy").mkdir()
    return tmp_path / "copy"
