"""Copies all tables of a database into another one, and checks the copy before it is committed.

What was copied is read back and compared by SHA-256; then each record is authenticated, and all key material opened.
"""

from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from itertools import islice

import msgspec

from strongroom.assembly.data_folder import DataFolderError
from strongroom.assembly.record_check import check_records
from strongroom.backup.blocks import Row, SectionHead, encode_row
from strongroom.crypto.key_backends import KeyBackends
from strongroom.store.row_authenticator import RowAuthenticator
from strongroom.store.sql.filling import Filling, NotEmptyError, UnfitRowsError
from strongroom.store.sql.sections import MOVED, TableReader

Progress = Callable[[int, int], object]
"""Called with what was done since the last call, and with all that there is to do; 0 if that was said before."""

_BATCH = 1000
_MOST_NAMED = 20


class FilledDatabaseError(DataFolderError):
    """The database that was to be filled is not empty."""


class Copied(msgspec.Struct, frozen=True):
    """What was copied: rows of all tables, and keys.

    ``damaged`` names records that are not as the service wrote them, as they were before; ``damaged_count`` counts all.
    """

    rows: int
    keys: int
    damaged: Sequence[str]
    damaged_count: int


class Keys(msgspec.Struct, frozen=True):
    """What checks a copy: the codes of rows, and the back ends that open key material."""

    authenticator: RowAuthenticator
    backends: KeyBackends


def copy_deployment(
    tables: TableReader,
    filling: Filling,
    history_id: str | None,
    keys: Keys,
    names: tuple[str, str],
    progress: Progress,
) -> Copied:
    """Copy everything into an empty database, and let it begin a history, so that the old one is recognized.

    Without ``history_id`` it goes on with the history that it has. ``names`` are those of the old and the new database.
    Memory holds a thousand rows. Raises DataFolderError if the new database is not empty, cannot hold a row, or gives
    back something else than was written.
    """
    old, new = names
    sizes = tables.tables(MOVED)
    rows = sum(each.rows for each in sizes)
    key_count = sum(each.rows for each in sizes if each.head.name == "kms_key")
    progress(0, 2 * rows + key_count)
    try:
        filling.begin()
        written = {each.head.name: _copy(tables, filling, each.head, progress) for each in sizes}
    except NotEmptyError as error:
        raise FilledDatabaseError(f"{new} is not empty: {error}; name an empty one") from None
    except UnfitRowsError as error:
        raise DataFolderError(
            f"{old} cannot be moved: {error}; `strongroom doctor` names them; restore them from a backup first"
        ) from None
    entry = tables.newest_entry()
    if entry is not None:
        filling.end_log(entry)
    _require_same(filling.tables(), written, new, progress)
    if history_id is not None:
        filling.begin_history(history_id)
    filling.authenticate(keys.authenticator)
    damaged, named = 0, list[str]()
    for finding in check_records(filling, keys.backends, lambda done: progress(done, 0)):
        damaged += 1
        if damaged <= _MOST_NAMED:
            named.append(finding.record)
    return Copied(rows, key_count, named, damaged)


def _copy(tables: TableReader, filling: Filling, head: SectionHead, progress: Progress) -> bytes:
    """Copy one table; return the SHA-256 of its rows."""
    digest = sha256()
    for batch in _batches(tables.rows(head.name)):
        _add(digest.update, batch)
        filling.insert(head, batch)
        progress(len(batch), 0)
    return digest.digest()


def _require_same(tables: TableReader, written: dict[str, bytes], new: str, progress: Progress) -> None:
    for name, expected in written.items():
        digest = sha256()
        for batch in _batches(tables.rows(name)):
            _add(digest.update, batch)
            progress(len(batch), 0)
        if digest.digest() != expected:
            raise DataFolderError(f"{new} does not give back what was written to its table `{name}`; check its disk")


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while batch := list(islice(rows, _BATCH)):
        yield batch


def _add(update: Callable[[bytes], object], rows: Sequence[Row]) -> None:
    for row in rows:
        update(encode_row(row))
