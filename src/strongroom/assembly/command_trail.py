"""The audit records of commands: written, signed and on disk before a command changes anything.

Commands run in processes of their own, also while the server runs, so they have an audit chain of their own. They take
turns with it: the one that writes is inside ``CommandTrail.changing``.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from msgspec.structs import replace

from strongroom.assembly.audit_log import known_writers, open_audit_key, open_audit_log
from strongroom.assembly.data_folder import DataFolderError
from strongroom.assembly.databases.database import Database
from strongroom.assembly.held_interrupts import held_interrupts
from strongroom.assembly.node import require_node_id
from strongroom.audit.database_history import DatabasePosition
from strongroom.audit.operator_events import Circumstances, OperatorEvent, operator_event
from strongroom.audit.user_identity import UserIdentity, operating_system_user
from strongroom.audit.writer_id import WriterId
from strongroom.clock import Clock
from strongroom.crypto.service_secrets import ServiceSecrets
from strongroom.entropy import Entropy, uuid
from strongroom.errors import KmsError
from strongroom.file_owners import user_name
from strongroom.settings import Settings
from strongroom.store.audit.log import AuditLog
from strongroom.store.protocol import Store

logger = logging.getLogger(__name__)

_LOGIN_UID = Path("/proc/self/loginuid")
_NO_LOGIN = 0xFFFF_FFFF


class CommandTrail:
    """Records what commands change in an opened data folder."""

    def __init__(
        self,
        database: Database,
        store: Store,
        secrets: ServiceSecrets,
        settings: Settings,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        """``store`` is that of ``database``, as this process has opened it."""
        self._database = database
        self._folder = database.folder
        self._store = store
        self._secrets = secrets
        self._settings = settings
        self._clock = clock
        self._entropy = entropy

    @contextmanager
    def changing(self, *, wait: bool = True) -> Iterator[bool]:
        """Keep other commands, and moves of the database, away from a block that changes something.

        It waits for a command that changes something. If it is not to ``wait``, it gives False while there is one.
        Raises DataFolderError if the deployment is not in the database any more that this process has opened: what
        would be written there would be lost.
        """
        with self._folder.changing(wait=wait) as alone:
            if alone:
                self._database.require_in_place()
            yield alone

    @contextmanager
    def recording(self, event: OperatorEvent, noted: DatabasePosition | None = None) -> Iterator[None]:
        """Record a change, then let the body make it. This must be inside ``changing``.

        The body may accept a database that lacks what was ``noted`` of it: then that stays noted until it has done so.

        The record is signed and on disk before the body runs. If the body fails, a second record says so. Raises
        DataFolderError, and runs no body, if the record cannot be written.
        """
        # Ctrl-C would leave the state of the log half changed, and then its end is written.
        with held_interrupts() as held:
            try:
                log = self._open(noted)
            except (KmsError, OSError) as error:
                raise self._not_recorded(error) from None
            with closing(log):
                try:
                    self._add(log, event)
                except (KmsError, OSError) as error:
                    raise self._not_recorded(error) from None
                try:
                    with held.released():
                        yield
                except BaseException as error:
                    # An interrupt (Ctrl-C) ends the body as well.
                    with suppress(KmsError, OSError):
                        self._add(log, event, _reason(error))
                    raise

    def note_failure(self, event: OperatorEvent, error: BaseException) -> None:
        """Record, if possible, that a change was not made whose record was written before.

        This must be inside ``changing``.
        """
        with held_interrupts(), suppress(KmsError, OSError), closing(self._open()) as log:
            self._add(log, event, _reason(error))

    def end_interrupted(self) -> None:
        """Sign what a killed command has left unsigned, unless a command runs now, which does it itself."""
        writer = self._writer()
        known = known_writers(self._store).get(writer)
        if known is None or known.stopped:
            return
        with self.changing(wait=False) as held:
            if held:
                try:
                    self._open().close()
                except (KmsError, OSError) as error:
                    logger.error("the chain of audit writer %s could not be ended: %s", writer, error)  # noqa: TRY400

    def _open(self, noted: DatabasePosition | None = None) -> AuditLog:
        key = open_audit_key(self._store, self._secrets, self._entropy, self._folder.audit)
        settings = replace(self._settings, durability="fsync")
        return open_audit_log(self._folder.audit, self._writer(), settings, self._store, key, self._clock, noted=noted)

    def _writer(self) -> str:
        return WriterId(require_node_id(self._folder), None).name

    def _add(self, log: AuditLog, event: OperatorEvent, failure: str = "") -> None:
        at = Circumstances(
            operator=current_operator(),
            region=self._settings.regions[0],
            now=self._clock.now(),
            event_id=uuid(self._entropy),
        )
        log.append(operator_event(event, at, failure))
        log.checkpoint()

    def _not_recorded(self, error: Exception) -> DataFolderError:
        if isinstance(error, KmsError) and error.explanation:
            # A fault of the database: the log is in files, and how far it goes is in the database, too.
            return DataFolderError(f"nothing was changed, because it cannot be recorded: {error.explanation}")
        reason = error.__cause__ or error
        return DataFolderError(
            f"nothing was changed, because its audit record cannot be written to `{self._folder.audit}`: {reason}"
        )


def _reason(error: BaseException) -> str:
    """Return why a change was not made; an interrupt may come when it is made already."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted; the change may have been made"
    return str(error) or type(error).__name__


def current_operator() -> UserIdentity:
    """Return who runs this process, and who logged in, if that was another user.

    The kernel keeps who logged in (proc(5), ``loginuid``); where it does not know, sudo says who called it.
    """
    uid = os.getuid()
    name = user_name(uid)
    login = _login_name() or os.environ.get("SUDO_USER", "")
    return operating_system_user(uid, name, "" if login == name else login)


def _login_name() -> str:
    try:
        uid = int(_LOGIN_UID.read_text())
    except (OSError, ValueError):
        return ""
    return "" if uid == _NO_LOGIN else user_name(uid)
