"""Ciphertexts in a column of a table, in any database that SQLAlchemy has a dialect for.

This is the database of an application, not one of this service.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import sqlalchemy
from sqlalchemy import URL, Column, Engine, MetaData, String, Table
from sqlalchemy.exc import DBAPIError, NoSuchTableError, SQLAlchemyError

from strongroom.reencryption.items import MAX_ENCODED, ItemError, PlaceError

_PAGE = 200
_WHERE = frozenset({"host", "port", "dbname", "service", "unix_socket"})


class RowItem:
    """A ciphertext in one row."""

    def __init__(self, rows: "Rows", row_key: Any) -> None:  # noqa: ANN401 - of whatever type the column is
        self._rows = rows
        self._row_key = row_key

    @property
    def key(self) -> str:
        """The key of the row, as text."""
        return str(self._row_key)

    def read(self) -> bytes:
        """Return the content of the column; raises ItemError."""
        with _readable():
            value = self._rows.value_of(self._row_key)
        if value is None:
            raise ItemError("the row is gone, or has no ciphertext any more")
        content = _content(value)
        if len(content) > MAX_ENCODED:
            raise ItemError(f"it has more than {MAX_ENCODED} bytes, so it is no ciphertext blob")
        return content

    def replace(self, old: bytes, new: bytes) -> None:
        """Update the row in a transaction of its own, if it still has the old content; raises ItemError."""
        with _readable():
            self._rows.update(self._row_key, old, new)


class Rows:
    """The rows of a table whose column is not null, by the order of their keys. Use it as a context manager."""

    def __init__(self, url: str, table: str, column: str, key_column: str) -> None:
        """Connect to a database; ``table`` can have its schema before a dot. Raises PlaceError."""
        try:
            self._engine: Engine = sqlalchemy.create_engine(url)
        except (SQLAlchemyError, ModuleNotFoundError, ValueError) as error:
            # The URL may contain a password.
            reason = error if isinstance(error, ModuleNotFoundError) else "it is no address such as sqlite:///FILE"
            raise PlaceError(f"the address of the database cannot be used: {reason}") from None
        shown = _shown(self._engine.url)
        self.name = f"{shown} {table}.{column} by {key_column}"
        schema, _, name = table.rpartition(".")
        try:
            self._table = Table(name, MetaData(), schema=schema or None, autoload_with=self._engine)
        except NoSuchTableError:
            raise PlaceError(f"{shown} has no table `{table}`") from None
        except SQLAlchemyError as error:
            raise PlaceError(f"{shown} cannot be used: {_reason(error)}") from None
        self._column = self._required(column)
        self._is_binary = _python_type(self._column) is bytes
        if not (self._is_binary or isinstance(self._column.type, String)):
            raise PlaceError(f"`{column}` of `{table}` is {self._column.type!r}: ciphertexts are in bytes or in text")
        self._key = self._required(key_column)
        if not self._is_unique(self._key):
            raise PlaceError(
                f"`{key_column}` of `{table}` is neither a primary key nor unique: it must tell rows apart"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._engine.dispose()

    def items(self) -> Iterator[RowItem]:
        """Return the rows by their keys, page by page; raises PlaceError, also if one with a ciphertext has no key."""
        keyed = self._key.is_not(None)
        if self._keys(sqlalchemy.select(self._column).where(self._column.is_not(None), ~keyed).limit(1)):
            raise PlaceError(
                f"`{self._table.name}` has rows whose `{self._key.name}` is NULL: name a key column that all rows have"
            )
        after: Any = None
        while True:
            query = sqlalchemy.select(self._key).where(self._column.is_not(None), keyed).order_by(self._key)
            if after is not None:
                query = query.where(self._key > after)
            keys = self._keys(query.limit(_PAGE))
            if not keys:
                return
            for row_key in keys:
                yield RowItem(self, row_key)
            after = keys[-1]

    def value_of(self, row_key: Any) -> Any:  # noqa: ANN401 - of whatever type the column is
        """Return the content of the column in one row; None if there is none."""
        with self._engine.connect() as connection:
            return connection.scalar(sqlalchemy.select(self._column).where(self._key == row_key))

    def update(self, row_key: Any, old: bytes, new: bytes) -> None:  # noqa: ANN401 - of whatever type the column is
        """Update one row; raises ItemError, and changes nothing, if it has another content before or afterwards."""
        this_row = self._key == row_key
        change = (
            sqlalchemy.update(self._table)
            .where(this_row, self._column == self._typed(old))
            .values({self._column: self._typed(new)})
        )
        # What is raised in here undoes the change.
        with self._engine.begin() as connection:
            if connection.execute(change).rowcount != 1:
                raise ItemError("it was changed meanwhile")
            kept = connection.scalar(sqlalchemy.select(self._column).where(this_row))
            if kept is None or _content(kept) != new:
                raise ItemError("the database does not keep the new ciphertext as it is: is the column too short?")

    def _keys(self, query: sqlalchemy.Select[tuple[Any]]) -> Sequence[Any]:
        try:
            with self._engine.connect() as connection:
                return connection.scalars(query).all()
        except SQLAlchemyError as error:
            raise PlaceError(f"{self.name} cannot be read: {_reason(error)}") from None

    def _typed(self, content: bytes) -> bytes | str:
        return content if self._is_binary else content.decode()

    def _required(self, name: str) -> Column[Any]:
        found = self._table.columns.get(name)
        if found is None:
            raise PlaceError(f"the table `{self._table.name}` has no column `{name}`")
        return found

    def _is_unique(self, column: Column[Any]) -> bool:
        if list(self._table.primary_key.columns) == [column]:
            return True
        inspector = sqlalchemy.inspect(self._engine)
        unique = inspector.get_unique_constraints(self._table.name, self._table.schema)
        return any(each["column_names"] == [column.name] for each in unique)


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise ItemError(f"the database refuses: {_reason(error)}") from None
    except UnicodeDecodeError:
        raise ItemError("its column holds text, and the new ciphertext is not: give --base64") from None


def _shown(url: URL) -> str:
    """Return an address as it may be shown: of its parameters, which can hold passwords, those that say where it is."""
    where = {name: value for name, value in url.query.items() if name in _WHERE}
    return url.set(query=where).render_as_string(hide_password=True)


def _python_type(column: Column[Any]) -> type | None:
    """Return the type of a column's values; None if it is not known."""
    try:
        return column.type.python_type
    except NotImplementedError:
        # SQLAlchemy says so of a type that no type of Python stands for.
        return None


def _content(value: Any) -> bytes:  # noqa: ANN401 - what a driver returns
    """Return a value as bytes; raises ItemError if it is neither that nor text, as in SQLite any column can have it."""
    if isinstance(value, str):
        return value.encode()
    if not isinstance(value, bytes | bytearray | memoryview):
        raise ItemError("it is neither bytes nor text")
    return bytes(value)


def _reason(error: SQLAlchemyError) -> str:
    """Return what the driver says, without the statement and its values."""
    return " ".join(str(error.orig if isinstance(error, DBAPIError) else error).split())
