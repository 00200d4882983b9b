"""All that the servers of a deployment have written: its database, audit logs and logs. Secrets must not be in it."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg

from accounts import settings_of
from audits import all_audit_files
from strongroom.store.postgresql.schema import metadata


def written_data(data: Path) -> Iterator[tuple[str, bytes]]:
    """Yield what was written, with a name for each part. ``data`` is the data folder, that of the first node."""
    logs = [path for path in (data.parent / "log", *data.parent.glob(f"{data.name}*.log")) if path.exists()]
    assert logs
    for path in (*data.glob("strongroom.db*"), *all_audit_files(data), *logs):
        yield path.name, path.read_bytes()
    if data in settings_of:
        yield from _tables(settings_of[data]["STRONGROOM_STORE"])


def _tables(address: str) -> Iterator[tuple[str, bytes]]:
    """Yield the rows of each table as the server keeps them: text and bytes as they are."""
    with closing(psycopg.connect(address)) as connection, connection.cursor() as cursor:
        for table in metadata.sorted_tables:
            with cursor.copy(f"COPY {table.name} TO STDOUT (FORMAT binary)".encode()) as rows:
                yield table.name, b"".join(map(bytes, rows))
