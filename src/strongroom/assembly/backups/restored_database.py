"""Brings what was restored into a PostgreSQL database, so that a restore which was killed meanwhile can be finished.

All rows come into the database in one transaction. Before its COMMIT, a note beside the hidden data folder says which
history the database has then. So the next restore sees whether that was committed: then only the folder has to be put
in place. It has the root key, and the audit chain in which the restore is recorded.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from strongroom.assembly.backups.restored_folder import RestoredFolder
from strongroom.assembly.backups.restored_state import Settled
from strongroom.assembly.backups.root_key_source import RootKeyKind
from strongroom.assembly.backups.verification import OpenedContent
from strongroom.assembly.data_folder import DataFolderError
from strongroom.assembly.relocation.copying import Keys, Progress, copy_deployment
from strongroom.entropy import Entropy
from strongroom.store.sqlite.store import SqlStore

if TYPE_CHECKING:
    from strongroom.assembly.databases.postgresql import PostgresqlDatabase


class RestoredRootKey(msgspec.Struct, frozen=True):
    """Where the root key of the restored deployment comes from.

    ``without_key_file`` are seals that open nothing until their key file is in the data folder, with its name.
    ``closed_seals`` says why no seal in the backup has opened, although there is one; empty otherwise.
    """

    kind: RootKeyKind
    without_key_file: Mapping[str, str]
    closed_seals: str


class Outcome(msgspec.Struct, frozen=True):
    """What a restore has done, as ``RestoredBackup`` has it."""

    settled: Settled
    content: OpenedContent
    accounts: Sequence[str]
    root_key: RestoredRootKey
    in_token: bool


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """What a restore was given, which another one that finishes it must be given as well.

    ``backup`` is the digest of the backup. ``root_key`` tells whether there was one, ``audit`` are the folders of audit
    logs, and the rest is as in ``RestoreRequest``.
    """

    backup: str
    root_key: bool
    audit: Sequence[str] | None
    bring_back: Sequence[str]
    any_origin: bool
    damaged_keys: bool


class Filled(msgspec.Struct, frozen=True, kw_only=True):
    """The note: which database is filled, what the restore was given, and the id of the history that it has then."""

    database: str
    history_id: str
    given: Given
    restored: Outcome


def fill(  # noqa: PLR0913 - two databases, and what is known of each
    target: "PostgresqlDatabase",
    place: RestoredFolder,
    store: SqlStore,
    keys: Keys,
    filled: Filled,
    entropy: Entropy,
    *,
    progress: Progress,
) -> None:
    """Bring what was restored from the file in the hidden folder into a PostgreSQL database; raises DataFolderError."""
    from strongroom.assembly.relocation.target import filling_of, put_seal_document  # noqa: PLC0415 - an extra

    names = "the backup", target.folder.database_name
    with store.read_tables() as tables, filling_of(target, entropy) as filling:
        copy_deployment(tables, filling, None, keys, names, progress)
        put_seal_document(filling, place.folder)
        place.note_filled(msgspec.json.encode(filled))


def filled_before(
    place: RestoredFolder, target: "PostgresqlDatabase | None", given: Given, entropy: Entropy
) -> Filled | None:
    """Return the note of a restore that was killed after it had filled this database, given the same.

    If there is none, or that one has not committed, the folder is empty when this returns None. Raises DataFolderError
    if the note is about another backup or database, or was given something else: what it is about would be lost, or
    would not be what this one is asked for. So it does for the note of another release, which may have other members.
    """
    if place.filled is None:
        return None
    try:
        found = msgspec.json.decode(place.filled, type=Filled)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise DataFolderError(
            f"`{place.note}` is the note of a restore by another release, which was interrupted when it was almost "
            "complete, and this one cannot read it; run that command again with that release, or remove the file to "
            "give it up"
        ) from None
    if target is not None and found.database == target.folder.database_name:
        if not _has(target, found.history_id, entropy):
            place.begin_anew()
            return None
        if found.given == given:
            return found
    raise DataFolderError(
        "a restore of another backup, with other options, or into another database was interrupted when it was almost "
        f"complete; run that command again, or remove `{place.note}` to give it up"
    )


def _has(target: "PostgresqlDatabase", history_id: str, entropy: Entropy) -> bool:
    from strongroom.assembly.relocation.target import filling_of  # noqa: PLC0415 - an extra

    with filling_of(target, entropy) as filling:
        return filling.history_id() == history_id
