"""Every file of published vectors is used, and none is empty."""

from pathlib import Path

import pytest

import published
from published import PUBLISHED, vectors

HERE = Path(__file__).parent


def test_every_file_of_vectors_is_read_by_a_test() -> None:
    tests = "".join(path.read_text(encoding="utf-8") for path in HERE.glob("test_*.py"))
    files = {path.stem for path in PUBLISHED.glob("*.json")}
    assert files
    assert {name for name in files if f'"{name}"' not in tests} == set()


def test_a_file_without_vectors_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "PUBLISHED", tmp_path)
    (tmp_path / "empty.json").write_text('{"source": "", "keys": [], "tests": []}')
    with pytest.raises(AssertionError, match="holds no vectors"):
        vectors("empty")
    with pytest.raises(FileNotFoundError):
        vectors("missing")
