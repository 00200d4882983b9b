"""Signs checkpoints of the audit log, and records them in the database, unless that knows of another process."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from strongroom.audit.chain import KnownWriter, Position
from strongroom.audit.database_history import DatabasePosition
from strongroom.audit.writer_id import parse_writer
from strongroom.clock import Clock
from strongroom.crypto.audit_key import AuditKey
from strongroom.store.audit.segment_reader import is_archived
from strongroom.store.audit.segments import holds
from strongroom.store.audit.signer import ChainRefusedError, NodeRetiredError
from strongroom.store.protocol import Store, Transaction


class _OtherStateError(ChainRefusedError):
    """The database has another state of a writer than this process has recorded."""

    code = ChainRefusedError.code

    def __init__(self, found: KnownWriter | None) -> None:
        super().__init__()
        self.found = found


class StoreSigner:
    """Signs with the audit key, and records writers in the store. See ``CheckpointSigner``. ``folder`` has the chains.

    Two processes that write one chain, because a data folder was copied, would each sign what they have. So a state is
    recorded only in place of the one that this process has recorded or found at its start. A database that was rolled
    back has an older one, which is in the log.
    """

    def __init__(
        self, folder: Path, store: Store, key: AuditKey, clock: Clock, noted: DatabasePosition | None = None
    ) -> None:
        """Use an audit key.

        ``noted`` is what the log has to go on noting of a database that was rolled back, until that is accepted.
        Otherwise the position of that database would be the newest note of this writer, and what shows that changes are
        missing would be gone.
        """
        self._folder = folder
        self._store = store
        self._key = key
        self._clock = clock
        self._public = key.public()
        self._recorded: dict[str, KnownWriter | None] = {}
        self.database = store.position if noted is None else _accepted(store, noted)
        """See ``CheckpointSigner``. Every flush calls it, so without a wrapper."""

    def sign(self, message: bytes) -> bytes:
        """Return the audit key's signature."""
        return self._key.sign(message)

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Tell whether the audit key has signed a message."""
        return self._public.verifies(message, signature)

    def record(self, writer: str, known: KnownWriter) -> None:
        """Record the state of a writer; raises ChainRefusedError."""
        try:
            self._put(writer, known)
        except _OtherStateError as error:
            if not self._is_ours(writer, error.found):
                raise ChainRefusedError(
                    f"another process writes the audit chain of {writer}: a copy of the folder `{self._folder.parent}` "
                    "is in use elsewhere; stop one of them, and give it an identity of its own by moving its `node-id` "
                    "and `audit` away"
                ) from None
            self._recorded[writer] = error.found
            self._put(writer, known)
        self._recorded[writer] = known

    def recorded(self, writer: str) -> KnownWriter | None:
        """Return the recorded state of a writer."""
        with self._store.read() as reader:
            found = self._recorded[writer] = reader.audit_writer(writer)
        return found

    def _put(self, writer: str, known: KnownWriter) -> None:
        now, expected = self._clock.now(), self._recorded.get(writer)
        parsed = parse_writer(writer)

        def put(transaction: Transaction) -> None:
            retired = None if parsed is None or parsed.node is None else transaction.retired_node(parsed.node)
            if retired is not None:
                raise NodeRetiredError(retired_words(retired.node, self._folder.parent))
            found = transaction.audit_writer(writer)
            # It may have been recorded by an attempt whose outcome is not known.
            if found not in (expected, known):
                raise _OtherStateError(found)
            transaction.put_audit_writer(writer, known, now)

        self._store.write(put)

    def _is_ours(self, writer: str, found: KnownWriter | None) -> bool:
        """Tell whether a state of the database is from before what this process has recorded."""
        if found is None or found.checkpoint is None:
            return True
        stated = found.checkpoint.read_signed(writer, self.verifies)
        if stated is None:
            return True  # It is damaged: verification finds it.
        position = Position(writer, stated.sequence, stated.digest.encode())
        there = holds(self._folder, position, msgspec.json.encode(found.checkpoint))
        return there or is_archived(self._folder, position, self.verifies)


def _accepted(store: Store, noted: DatabasePosition) -> Callable[[], DatabasePosition]:
    """Return a function that gives the position of a database once it has another history, and ``noted`` until then."""
    before = store.position().history_id

    def position() -> DatabasePosition:
        found = store.position()
        return noted if found.history_id == before else found

    return position


def retired_words(node: str, folder: Path) -> str:
    """Return why a retired node cannot write, and what to do."""
    return (
        f"node {node} was retired, so its chains count as lost. If that is a mistake, run `strongroom audit retire "
        f"--undo {node}` on another node. To use `{folder}` as a new node, move `node-id` and `audit` away together; "
        "`strongroom audit verify --from` reads them there"
    )
