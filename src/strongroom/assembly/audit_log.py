"""Opens and verifies the audit log of a data folder, and finds the names that a key can have in it."""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import product
from pathlib import Path

import msgspec

from strongroom.arns import parse_arn
from strongroom.assembly.audit_folders import AuditFolders
from strongroom.assembly.checkpoint_signer import StoreSigner
from strongroom.assembly.data_folder import DataFolderError
from strongroom.audit.chain import KnownWriter
from strongroom.audit.database_history import DatabasePosition
from strongroom.audit.recorded_end import RecordedEnd, failure_before
from strongroom.audit.report import Report
from strongroom.audit.sink import AuditMark
from strongroom.audit.verification import Verifier
from strongroom.audit.writer_id import WriterId
from strongroom.clock import Clock
from strongroom.crypto.audit_key import SECRET_LENGTH, AuditKey, AuditPublicKey
from strongroom.crypto.binding import AUDIT_KEY_BINDING
from strongroom.crypto.seal import UnsealError
from strongroom.crypto.service_secrets import ServiceSecrets
from strongroom.entropy import Entropy
from strongroom.errors import KmsError
from strongroom.keys.arns import ALIAS_PREFIX, AliasLocator, KeyLocator
from strongroom.node_id import NodeId
from strongroom.problems import Problems, Subject
from strongroom.settings import Settings
from strongroom.store.audit.end_file import read_ends
from strongroom.store.audit.log import AuditLog
from strongroom.store.audit.segment_reader import read_statements, walk
from strongroom.store.audit.segments import copies_of_segments, fullest_first, mark_at_end, segments_of
from strongroom.store.audit.signer import ChainRefusedError
from strongroom.store.protocol import Readable, Store, Transaction
from strongroom.store.records import AuditWriterRecord
from strongroom.store.scopes import AccountScope

logger = logging.getLogger(__name__)


def open_audit_key(store: Store, secrets: ServiceSecrets, entropy: Entropy, folder: Path) -> AuditKey:
    """Return the audit key, made at the first start; raises UnsealError if it was not wrapped here, or is lost.

    ``folder`` is that of the audit log. It is made before the first segment.
    """
    # In one read: another node may make the key, and write with it, at this moment.
    with store.read() as reader:
        wrapped, has_writers = reader.audit_key(), bool(reader.audit_writer_records())
    if wrapped is not None:
        return _unwrapped(wrapped, secrets)
    if has_writers or (folder.is_dir() and segments_of(folder)):
        # With a new one, nothing that was signed before could be verified.
        raise UnsealError("the database has lost its audit key; restore it from a backup")
    return _unwrapped(_make_audit_key(store, secrets.wrap(entropy(SECRET_LENGTH), AUDIT_KEY_BINDING)), secrets)


def existing_audit_key(store: Readable, secrets: ServiceSecrets) -> AuditKey | None:
    """Return the audit key, None if no start has made it yet; raises UnsealError if it was not wrapped here."""
    with store.read() as reader:
        wrapped = reader.audit_key()
    return None if wrapped is None else _unwrapped(wrapped, secrets)


def _unwrapped(wrapped: bytes, secrets: ServiceSecrets) -> AuditKey:
    try:
        return AuditKey(secrets.unwrap(wrapped, AUDIT_KEY_BINDING))
    except UnsealError as error:
        raise UnsealError(
            f"the audit key in the database is damaged ({error}); restore the database from a backup"
        ) from None


def _make_audit_key(store: Store, new: bytes) -> bytes:
    """Store a new audit key, unless another process has stored one; return the stored one, wrapped."""

    def add_if_missing(transaction: Transaction) -> bytes:
        wrapped = transaction.audit_key()
        if wrapped is None:
            transaction.add_audit_key(new)
        return wrapped or new

    return store.write(add_if_missing, AccountScope(""))


def open_audit_log(  # noqa: PLR0913 - what a chain is written with
    folder: Path,
    writer: str,
    settings: Settings,
    store: Store,
    key: AuditKey,
    clock: Clock,
    *,
    problems: Problems | None = None,
    noted: DatabasePosition | None = None,
) -> AuditLog:
    """Open one writer's chain for writing. No other process may have it open.

    Records or checkpoints that are missing or forged are a problem in ``problems``, until the next start. ``noted`` is
    what a database lacks that is about to be accepted: see ``StoreSigner``. Raises DataFolderError if the node was
    retired.
    """
    signer = StoreSigner(folder, store, key, clock, noted)
    report = partial((problems or Problems()).report, Subject.AUDIT)
    size = settings.audit_segment_size
    try:
        return AuditLog(folder, writer, settings.durability, size, signer, clock, alarm=report)
    except ChainRefusedError as error:
        raise DataFolderError(str(error)) from None


def end_idle_chains(  # noqa: PLR0913 - what chains are written with
    folder: Path,
    idle: Iterable[AuditWriterRecord],
    settings: Settings,
    store: Store,
    key: AuditKey,
    clock: Clock,
    *,
    problems: Problems,
) -> list[AuditMark]:
    """End the chains of ``idle`` writers, which have no process any more; return the place where each ends.

    If a chain cannot be ended, a later start tries again.
    """
    marks = []
    for record in idle:
        if not record.known.stopped:
            try:
                open_audit_log(folder, record.writer, settings, store, key, clock, problems=problems).close()
            except (KmsError, OSError):
                logger.exception("the chain of audit writer %s could not be ended", record.writer)
        marks.append(mark_at_end(folder, record.writer))
    return marks


def idle_writers(store: Readable, node: NodeId, at_work: Collection[str]) -> list[AuditWriterRecord]:
    """Return the workers of one node that are not ``at_work``: it has fewer now, or ran an older release.

    The chain of the commands is left to them (``CommandTrail``). Writers of other nodes are not returned: their chains
    are on other disks, and may have running processes.
    """
    others = {*at_work, WriterId(node, None).name}
    return [each for each in _records(store) if each.node == node and each.writer not in others]


def known_writers(store: Readable) -> Mapping[str, KnownWriter]:
    """Return the recorded state of each writer, of all nodes."""
    with store.read() as reader:
        return reader.audit_writers()


def last_checkpoint(store: Readable) -> float | None:
    """Return when a checkpoint was signed last, in epoch seconds; None if there is none, or a damaged one."""
    checkpoints = [known.checkpoint for known in known_writers(store).values() if known.checkpoint is not None]
    try:
        return max((datetime.fromisoformat(each.read().time).timestamp() for each in checkpoints), default=None)
    except (msgspec.DecodeError, ValueError):
        return None


def size_of_log(folders: Sequence[Path]) -> int:
    """Return the size of all segments in some folders in bytes."""
    return sum(segment.path.stat().st_size for copies in copies_of_segments(folders) for segment in copies)


def verify_log(  # noqa: PLR0913 - all that a log is compared with
    folders: AuditFolders,
    nodes: Collection[NodeId] | None,
    key: AuditPublicKey,
    store: Readable | None,
    progress: Callable[[int], object],
    *,
    boot: str,
    from_oldest: bool = False,
) -> Report:
    """Verify every segment in some folders, those of nodes and those of archives, also while servers write.

    ``progress`` is called with the bytes read each time. If archives are given, all that was archived must be in them.

    Chains of the ``nodes`` must be here and whole, those of other nodes need not; without nodes, all must. Without a
    store, the ends of the chains are not judged. ``boot`` names this start of the machine.
    ``from_oldest`` is for a log whose older segments were moved elsewhere.
    """
    # Read before the files: everything recorded by then must be in them.
    before = [] if store is None else _records(store)
    writers = None if store is None else {each.writer: each.known for each in before}
    # A writer without a node may belong to one of them, so its chain is required: if it is missing, that is reported.
    required = {each.writer for each in before if nodes is None or each.node is None or each.node in nodes}
    # Read before the files, too: they may grow meanwhile.
    ends = _ends_of(folders.logs, boot)
    # Listed before the statements are read, so that everything that is missing in the list has been stated.
    segments = fullest_first(copies_of_segments(folders.every), folders.originals)
    stated = read_statements([copies[0] for copies in segments], key.verifies)
    verifier = Verifier(
        key.verifies,
        writers,
        required,
        from_oldest=from_oldest,
        stated=stated,
        archives_given=bool(folders.archives),
        failure=lambda writer, sequence: failure_before(ends.get(writer), sequence, boot),
    )
    walk(segments, verifier, progress)
    if store is None:
        return verifier.finish({})
    # Read after the files: everything that they note must be in the database by then.
    with store.read() as reader:
        return verifier.finish(reader.audit_writers(), reader.database_position(), reader.earlier_histories())


def _ends_of(logs: Sequence[Path], boot: str) -> Mapping[str, RecordedEnd]:
    """Return what processes have noted of the ends of their chains.

    In the folder of another node only what was noted under this start of the machine counts: it cannot be told whether
    another machine has failed.
    """
    own, *others = map(read_ends, logs)
    found = {writer: end for ends in others for writer, end in ends.items() if end.boot == boot}
    return {**found, **own}


def _records(store: Readable) -> list[AuditWriterRecord]:
    with store.read() as reader:
        return reader.audit_writer_records()


def key_names(store: Readable | None, settings: Settings, key: str) -> frozenset[str]:
    """Return every name that records may have for a key. An alias also means its key, if the store has it."""
    names = {key}
    arn = parse_arn(key)
    name = key if arn is None else arn.resource
    if store is None or not name.startswith(ALIAS_PREFIX):
        return frozenset(names)
    with store.read() as reader:
        for account, region in product([each.account for each in reader.accounts()], settings.regions):
            record = reader.alias(locator := AliasLocator(account, region, name))
            if record is not None and key in (name, locator.arn):
                names |= {locator.arn, KeyLocator(account, region, record.key_id).arn}
    return frozenset(names)
