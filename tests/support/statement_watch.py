"""Notes which threads have a database do anything: those of the statements on it, from any code."""

import threading
from typing import Any

import pytest
from sqlalchemy import Engine, event

from strongroom.store.postgresql.connection import StoreConnection

_OF_THE_CHANGE_LOG = ("BEGIN", "SELECT change.")


class StatementWatch:
    """Notes statements by thread, on SQLite and on PostgreSQL."""

    def __init__(self, store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: dict[int, list[str]] = {}
        """Thread → what it has run. What goes past SQLAlchemy has no text."""
        engine: Engine = store._engine if hasattr(store, "_engine") else store._database.engine
        self.is_sqlite = engine.dialect.name == "sqlite"
        event.listen(engine, "before_cursor_execute", self._note_statement)
        whole = StoreConnection.wait

        def wait(connection: StoreConnection, *parts: Any, **more: Any) -> Any:
            self._note("a message")
            return whole(connection, *parts, **more)

        monkeypatch.setattr(StoreConnection, "wait", wait)

    def of(self, thread: int) -> list[str]:
        """Return what a thread has run, but for the change log of SQLite, which is a local file."""
        found = self.seen.get(thread, [])
        return [each for each in found if not (self.is_sqlite and each.startswith(_OF_THE_CHANGE_LOG))]

    def _note_statement(self, _connection: object, _cursor: object, statement: str, *_more: object) -> None:
        self._note(" ".join(statement.split()))

    def _note(self, what: str) -> None:
        self.seen.setdefault(threading.get_ident(), []).append(what)
