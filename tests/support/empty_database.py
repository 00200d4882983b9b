"""A database with the tables of this release and nothing in them."""

import functools
import tempfile
from pathlib import Path

from strongroom.store.sqlite.schema_version import upgrade


def put_empty_database(path: Path) -> None:
    """Write the database file ``path``, which must not exist.

    It is what the migrations make. They run once for each test process, because they take longer than most tests that
    need a database.
    """
    path.touch(mode=0o600)
    path.write_bytes(_migrated())


@functools.cache
def _migrated() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "strongroom.db"
        # Closing the last connection moves the write-ahead log into the file.
        upgrade(path)
        return path.read_bytes()
