"""How connections to SQLite are set up, begin transactions, and erase freed content.

- WAL with ``synchronous=FULL``: a commit that has returned survives power loss
  (sqlite.org/pragma.html#pragma_synchronous).
- ``wal_autocheckpoint``: the log is moved into the database at four megabytes, or later if a reader needs it; then
  ``journal_size_limit`` cuts what it has grown beyond its limit (sqlite.org/wal.html, "Avoiding Excessively Large WAL
  Files").
- ``secure_delete``: freed content is overwritten with zeros, so that destroyed key material leaves no trace in free
  pages (sqlite.org/pragma.html#pragma_secure_delete).
"""

import sqlite3
from functools import partial
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

WRITE = {"strongroom_write": True}
"""Execution options of a connection that is going to write."""

BUSY_TIMEOUT = 10.0
"""How long to wait for a lock on the database, seconds."""

_KEPT_CONNECTIONS = 16
"""How many connections stay open when no thread needs them."""

_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "wal_autocheckpoint=1000",
    f"journal_size_limit={16 * 1024 * 1024}",
    "secure_delete=ON",
    "foreign_keys=ON",
)
_SCRUB_TIMEOUT = 0.05
"""How long to wait for readers before the write-ahead log can be emptied, seconds. All writers wait meanwhile."""


decode_text = partial(str, encoding="utf-8", errors="surrogateescape")
"""How text is read. Bytes that are no UTF-8 show in the one row that has them, where the driver would fail the read."""


def open_sqlite(path: Path) -> Engine:
    """Return an engine over the database file ``path``, created with mode 0600 if missing."""
    path.touch(mode=0o600, exist_ok=True)
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        connect_args={"timeout": BUSY_TIMEOUT},
        # As many connections as there are threads: the event loop must not wait for one that another thread returns.
        pool_size=_KEPT_CONNECTIONS,
        max_overflow=-1,
        # Errors show no values of rows: they get into logs.
        hide_parameters=True,
    )
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    # The driver would begin transactions too late; ``_begin`` does it instead.
    connection.isolation_level = None
    connection.text_factory = decode_text
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    # A writer takes the lock first: upgrading from a read could fail half-way.
    writing = connection.get_execution_options().get("strongroom_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def truncate_log(engine: Engine) -> bool:
    """Move the write-ahead log into the database and empty it; return False if a reader still needs it."""
    raw = engine.raw_connection()
    try:
        _set_busy_timeout(raw, _SCRUB_TIMEOUT)
        try:
            busy, _, _ = raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            _set_busy_timeout(raw, BUSY_TIMEOUT)
    finally:
        raw.close()
    return not busy


def _set_busy_timeout(raw: PoolProxiedConnection, seconds: float) -> None:
    raw.cursor().execute(f"PRAGMA busy_timeout={seconds * 1000:.0f}")
