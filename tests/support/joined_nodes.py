"""Several nodes over one SQLite database: data folders with links to its files, each with its own audit folder."""

import shutil
from pathlib import Path

import pytest

from strongroom.assembly import data_folder

_DATABASE = ("strongroom.db", "strongroom.db-wal", "strongroom.db-shm", "strongroom.db-writer")


def allow_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let data folders have links to a database, which a server would refuse."""
    monkeypatch.setattr(data_folder, "_require_only_name", lambda _path, _status: None)


def join(folder: Path, first: Path) -> Path:
    """Make the data folder of a further node: the same database and root key, an audit folder of its own."""
    folder.mkdir(mode=0o700)
    for name in _DATABASE:
        (folder / name).symlink_to(first / name)
    for name in ("root.key", "credentials"):
        shutil.copy(first / name, folder / name)
    return folder
