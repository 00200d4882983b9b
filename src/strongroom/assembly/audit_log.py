"""The audit log of a data folder: opened for writing, verified; and under which names a key may stand there."""

import logging
from collections.abc import Callable, Collection, Mapping
from itertools import product
from pathlib import Path

from strongroom.audit.chain import KnownWriter
from strongroom.audit.sink import AuditMark
from strongroom.audit.verification import Report, Verifier
from strongroom.clock import Clock
from strongroom.crypto.audit_key import SECRET_LENGTH, AuditKey, AuditPublicKey
from strongroom.crypto.binding import AUDIT_KEY_BINDING
from strongroom.crypto.protocol import Vault
from strongroom.entropy import Entropy
from strongroom.errors import KmsError
from strongroom.keys.arns import ALIAS_PREFIX, AliasLocator, KeyLocator
from strongroom.settings import Settings
from strongroom.store.audit.log import AuditLog
from strongroom.store.audit.segments import mark_at_end, segments_of, walk
from strongroom.store.protocol import Readable, Store

logger = logging.getLogger(__name__)


class StoreSigner:
    """Signs checkpoints with the audit key, and records writers in the store. See ``CheckpointSigner``."""

    def __init__(self, store: Store, key: AuditKey) -> None:
        self._store = store
        self._key = key
        self._public = key.public()

    def sign(self, message: bytes) -> bytes:
        """Return the audit key's signature."""
        return self._key.sign(message)

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Tell whether the audit key has signed a message."""
        return self._public.verifies(message, signature)

    def record(self, writer: str, known: KnownWriter) -> None:
        """Record what is known of a writer."""
        with self._store.transaction() as transaction:
            transaction.put_audit_writer(writer, known)

    def recorded(self, writer: str) -> KnownWriter | None:
        """Return what was recorded last of a writer."""
        return known_writers(self._store).get(writer)


def open_audit_key(store: Store, vault: Vault, entropy: Entropy) -> AuditKey:
    """Return the audit key, made at the first start; raises UnsealError if the vault did not wrap it."""
    with store.read() as reader:
        wrapped = reader.audit_key()
    if wrapped is None:
        wrapped = _make_audit_key(store, vault.wrap_secret(entropy(SECRET_LENGTH), AUDIT_KEY_BINDING))
    return AuditKey(vault.unwrap_secret(wrapped, AUDIT_KEY_BINDING))


def _make_audit_key(store: Store, new: bytes) -> bytes:
    """Keep a new audit key, unless another process was first; return the one that counts, wrapped."""
    with store.transaction() as transaction:
        wrapped = transaction.audit_key()
        if wrapped is None:
            transaction.add_audit_key(new)
        return wrapped or new


def open_audit_log(
    folder: Path, writer: str, settings: Settings, store: Store, key: AuditKey, clock: Clock
) -> AuditLog:
    """Open one writer's chain, which no other process may have open."""
    signer = StoreSigner(store, key)
    return AuditLog(folder, writer, settings.durability, settings.audit_segment_size, signer, clock)


def settle_others(
    folder: Path, owned: Collection[str], settings: Settings, store: Store, key: AuditKey, clock: Clock
) -> list[AuditMark]:
    """End the chains of writers that are no more, because fewer workers start now; return how far each has come.

    For one of the processes that have taken the data folder: the ``owned`` writers are theirs, and nobody writes the
    others' chains. One that cannot be ended is left to a later start.
    """
    marks = []
    for writer, known in known_writers(store).items():
        if writer in owned:
            continue
        if not known.stopped:
            try:
                open_audit_log(folder, writer, settings, store, key, clock).close()
            except (KmsError, OSError):
                logger.exception("the chain of audit writer %s could not be ended", writer)
        marks.append(mark_at_end(folder, writer))
    return marks


def known_writers(store: Readable) -> Mapping[str, KnownWriter]:
    """Return what the store has of each writer."""
    with store.read() as reader:
        return reader.audit_writers()


def size_of_log(folder: Path) -> int:
    """Return how many bytes all segments have together."""
    return sum(segment.path.stat().st_size for segment in segments_of(folder))


def verify_log(
    folder: Path,
    key: AuditPublicKey,
    store: Readable | None,
    progress: Callable[[int], object],
    *,
    from_oldest: bool = False,
) -> Report:
    """Verify every segment in a folder, also while servers write; call ``progress`` with the bytes read each time.

    Without a store, the ends of the chains are not judged. ``from_oldest`` is for a log whose older segments were moved
    away.
    """
    # Before the files are looked at: what is kept by then must be in them.
    writers = None if store is None else known_writers(store)
    verifier = Verifier(key.verifies, writers, from_oldest=from_oldest)
    walk(folder, verifier, progress)
    return verifier.finish({} if store is None else known_writers(store))


def key_names(store: Readable | None, settings: Settings, key: str) -> frozenset[str]:
    """Return every name under which a key may stand in records: an alias means its key as well, if the store has it."""
    names = {key}
    name = key.rpartition(":")[2]
    if store is None or not name.startswith(ALIAS_PREFIX):
        return frozenset(names)
    with store.read() as reader:
        for account, region in product([each.account for each in reader.accounts()], settings.regions):
            record = reader.alias(locator := AliasLocator(account, region, name))
            if record is not None and key in (name, locator.arn):
                names |= {locator.arn, KeyLocator(account, region, record.key_id).arn}
    return frozenset(names)
