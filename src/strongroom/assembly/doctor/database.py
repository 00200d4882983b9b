"""Checks of the database: its schema, its pages, its keys, its rows, and whether it was rolled back."""

from collections.abc import Iterator
from itertools import islice

from strongroom.assembly.audit_log import known_writers
from strongroom.assembly.database_history import compare_with_log
from strongroom.assembly.doctor.results import Finding, Status, critical, number_of, ok, told, unknown, warning
from strongroom.assembly.doctor.scene import Scene
from strongroom.assembly.key_back_ends import loading_key_backends
from strongroom.assembly.record_check import check_records
from strongroom.assembly.unsealing import not_its_root_key
from strongroom.crypto.domain_keys import DomainKeys
from strongroom.crypto.seal import SealedDomainKey, UnsealError
from strongroom.crypto.seals.document import SealKind
from strongroom.store.audit.segments import newest_notes
from strongroom.store.sqlite.integrity import log_of
from strongroom.store.sqlite.schema_version import SCHEMA
from strongroom.store.sqlite.write_ahead_log import LARGE, readers_of

_RESTORE = "restore a backup: strongroom restore"
_NEW_KEY_FILE = "put its key file in the data folder, or have a new one made: strongroom seal rotate"
_SHOWN = 5
_MOST_COUNTED = 1000


def check_schema(scene: Scene) -> Iterator[Finding]:
    """Find out whether this release reads the database."""
    with scene.store.read() as reader:
        regions = reader.keys_by_region()
    yield ok(f"schema {SCHEMA}; {number_of(sum(regions.values()), 'key')} in {number_of(len(regions), 'Region')}")


def check_pages(scene: Scene) -> Iterator[Finding]:
    """Find out whether every page, table, column and index is there, and nothing that does not belong there."""
    database = scene.database
    pages = not scene.options.quick or database.is_small()
    found = database.check(only_read=True, pages=pages)
    if not found.is_whole:
        yield critical(f"{database.folder.database_name} is damaged ({'; '.join(found.findings)})", _RESTORE)
    elif pages:
        yield ok(f"whole, checked in {found.seconds:.1f} s")
    else:
        yield ok("it is there; its pages were not checked, because it is large")


def check_root_key(scene: Scene) -> Iterator[Finding]:
    """Find out whether the root key opens every domain key, and the domain key opens the audit key."""
    sealed, _ = scene.sealed, scene.seal
    closed = [each for each in sealed if not _opens(scene, each)]
    if len(closed) == len(sealed):
        yield critical(
            not_its_root_key(scene.folder),
            "restore the file that belongs to it",
        )
        return
    for each in closed:
        yield critical(f"domain key {each.version} of `{each.scope}` does not open: its row was changed", _RESTORE)
    if closed:
        return
    if not scene.domain_keys.rows_have_codes:
        yield warning(
            "an older release wrote the rows, so they are not authenticated", "start a server of this release"
        )
    _ = scene.audit_key
    yield from _of_seals(scene)
    yield ok(f"opens {number_of(len(sealed), 'domain key')} and the key of the audit log")


def _of_seals(scene: Scene) -> Iterator[Finding]:
    """Find out whether the seals can be relied on: that key files open, and that a seal which is no file is not alone.

    Other seals may need a person or a service, and are tried by ``strongroom seal test``.
    """
    document = scene.seal_document
    if document is None:
        return
    if len(document.entries) == 1 and document.entries[0].kind is not SealKind.FILE:
        yield warning(
            f"{document.entries[0].name!a} is the only seal: if it is lost, all keys are",
            "add another one, such as a passphrase that is kept in a safe: strongroom seal add recovery passphrase",
        )
    for each in document.entries:
        if each.kind is SealKind.FILE:
            try:
                scene.unsealing.open_entry(scene.folder, document, each)
            except UnsealError as error:
                yield told(f"seal {each.name!a} does not open: {error}", Status.WARNING, _NEW_KEY_FILE)


def _opens(scene: Scene, sealed: SealedDomainKey) -> bool:
    try:
        DomainKeys([sealed], scene.seal, scene.entropy)
    except UnsealError:
        return False
    return True


def check_set_back(scene: Scene) -> Iterator[Finding]:
    """Find out whether the database has all that the audit log says was committed."""
    folder, store = scene.folder, scene.store
    found = compare_with_log(folder, store)
    if found is not None:
        yield critical(found.text, scene.database.remedy_if_set_back())
    elif newest_notes(folder.audit):
        yield ok("it has all that the audit log notes")
    elif all(known.checkpoint is None for known in known_writers(store).values()):
        yield ok("no call was recorded yet")
    else:
        yield unknown("the audit log does not note anything of the database", "see what `audit-log` says")


def check_every_record(scene: Scene) -> Iterator[Finding]:
    """Find out whether every row is as the service wrote it, and every key material opens."""
    keys, store = scene.usable_keys, scene.store
    with store.read() as reader:
        by_region = reader.keys_by_region()
    number = sum(count for region, count in by_region.items() if keys.opens(region))
    others = sorted(region for region in by_region if not keys.opens(region))
    back_ends = loading_key_backends(keys, scene.entropy, scene.clock, scene.token)
    with scene.progress("Opening keys", number) as advance:
        found = list(islice(check_records(store, back_ends, advance, keys.opens), _MOST_COUNTED))
    for each in found[:_SHOWN]:
        yield critical(f"{each.record}: {each.fault}", f"find out who changed the database; {_RESTORE}")
    if len(found) > _SHOWN:
        more = f"{len(found) - _SHOWN}{' or more' if len(found) == _MOST_COUNTED else ''} other records"
        yield critical(f"and {more}", f"find out who changed the database; {_RESTORE}")
    left = f"; that of {', '.join(others)} is left to nodes that serve it" if others else ""
    yield ok(f"all are as they were written; the material of {number_of(number, 'key')} opens{left}")


def check_write_ahead_log(scene: Scene) -> Iterator[Finding]:
    """Find out whether the write-ahead log grows, and which processes read it."""
    folder = scene.folder
    if folder.is_shared:
        yield ok("its database server keeps it")
        return
    log = log_of(folder.database)
    try:
        size = log.stat().st_size
    except FileNotFoundError:
        yield ok("there is none: no process has the database open")
        return
    readers = readers_of(folder.database)
    who = f", read now by process {', '.join(map(str, readers))}" if readers else ""
    text = f"`{log.name}` has {size / (1 << 20):.1f} MiB{who}"
    if size >= LARGE:
        yield warning(text, "end the process that keeps a read open, such as a backup program or a shell of SQLite")
    elif size and not scene.is_served:
        yield ok(f"{text}: the last server was killed, and the next start takes it over")
    else:
        yield ok(text)
