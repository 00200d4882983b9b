"""Serves XKS proxies: a process beside the server, on the same data folder.

It opens the folder as commands do, and writes an audit chain of its own. AWS KMS has another listener than callers,
with other certificates and limits, and however many calls it makes, they take no lane of the server's.
"""

import logging
import threading
from collections.abc import Callable
from contextlib import ExitStack, nullcontext

from msgspec.structs import replace

from strongroom.assembly.audit_log import open_audit_log
from strongroom.assembly.data_folder import DataFolderError
from strongroom.assembly.deployment import LAST_WRITES
from strongroom.assembly.node import require_node_id
from strongroom.assembly.open_folder import OpenFolder
from strongroom.assembly.serving import tune_interpreter
from strongroom.audit.writer_id import WriterId
from strongroom.clock import Clock
from strongroom.crypto.domain_keys import IAM_SCOPE
from strongroom.maintenance.keeper import Keeper
from strongroom.problems import Problems
from strongroom.server.tls import Tls
from strongroom.server.xks_admission import XksAdmission
from strongroom.server.xks_server import XksServer
from strongroom.server.xks_work import XksWork
from strongroom.service.audit_trail import AuditTrail
from strongroom.service.unauthenticated import RecordRateLimit
from strongroom.service.xks_calls import XksCalls
from strongroom.service.xks_health import XksHealth
from strongroom.service.xks_trail import XksTrail
from strongroom.settings import Settings, SettingsError
from strongroom.settings_sources import require_listener
from strongroom.store.sqlite.schema_version import UnknownSchemaError
from strongroom.usage.access_key_usage import AccessKeyUsage

logger = logging.getLogger(__name__)

_SUITES = ("ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384")
"""The suites of TLS 1.2 that AWS KMS offers to a proxy (specification, "TLS")."""
_HEALTH_INTERVAL = 5.0
"""Seconds between two looks at whether the health has to be checked again."""


def listener_settings(settings: Settings) -> Settings:
    """Return the settings of the server, with the address and the TLS of the XKS proxy; raises SettingsError."""
    found = replace(
        settings,
        listen=settings.xks_listen,
        tls_cert=settings.xks_tls_cert,
        tls_key=settings.xks_tls_key,
        tls_client_ca=settings.xks_tls_client_ca,
        # What does TLS in front of the server need not be in front of the proxy.
        allow_plaintext=settings.xks_allow_plaintext,
        tls_ciphers=_SUITES if settings.tls_min_version == "1.2" else (),
    )
    try:
        require_listener(found)
    except SettingsError as error:
        names = "`xks-listen`, `xks-tls-cert`, `xks-tls-key`, `xks-allow-plaintext`"
        raise SettingsError(f"{error} (settings {names})") from None
    if found.xks_client_names and found.tls_client_ca is None:
        raise SettingsError("`xks-client-names` needs `xks-tls-client-ca`: without it no client shows a certificate")
    return found


class XksServing:
    """The XKS proxies of an opened data folder, with the right to serve them (``xks_lock``). Close it afterwards.

    ``settings`` are those of ``listener_settings``, on a port that is claimed.
    """

    def __init__(self, opened: OpenFolder, settings: Settings, clock: Clock, tls: Tls) -> None:
        self._opened = opened
        self._clock = clock
        self._tls = tls
        self._outdated = ""
        backends, store = opened.backends, opened.store
        if settings.fips:
            opened.seals.require_approved()
        with ExitStack() as undo:
            self.node = node = require_node_id(opened.folder)
            writer = WriterId(node, 0, xks=True)
            # The workers of the server show them, too.
            self._problems = Problems(opened.folder.problems, writer.worker_name)
            undo.callback(self._problems.close)
            audit_key = opened.audit_key()
            log = open_audit_log(
                opened.folder.audit, writer.name, settings, store, audit_key, clock, problems=self._problems
            )
            undo.callback(log.close)
            # Note the uses that were not saved before a crash.
            mark = log.mark()
            backends.key_uses.recover(writer.name)
            backends.key_uses.write(mark)
            limit = RecordRateLimit()
            trail = XksTrail(log, opened.entropy, limit)

            def require_usable() -> None:
                backends.snapshot.refresh()
                if not trail.writable():
                    raise OSError("the audit log cannot be written")

            self._health = XksHealth(
                backends.key_backends.of_store(None), _some_region(opened), require_usable, clock.timer
            )
            undo.callback(self._health.close)
            self._keeper = Keeper(
                backends, AuditTrail(log, opened.entropy), log, clock, opened.clock_watch, AccessKeyUsage(store)
            )
            undo.callback(self._keeper.upkeep, stopping=True)
            undo.callback(limit.report)
            mutual_tls = settings.tls_client_ca is not None
            work = XksWork(
                XksAdmission(backends.snapshot, settings.xks_client_names, mutual_tls=mutual_tls),
                XksCalls(backends.snapshot, self._health, str(node)),
                trail,
            )
            self._server = XksServer(
                settings,
                work,
                trail,
                limit,
                log,
                note_use=backends.key_uses.note,
                chores=self._chores,
                hurry=self._hurry,
                clock=clock,
                tls=tls,
            )
            self._undo = undo.pop_all()

    def run(self, ready: Callable[[], None], reload: Callable[[], None]) -> None:
        """Serve until SIGTERM; see ``XksServer.run``.

        Raises DataFolderError if a server of another release has upgraded the database.
        """
        tune_interpreter()
        ended = threading.Event()
        # It is not waited for at the end: what holds the keys may hang.
        threading.Thread(target=self._renew_health, args=(ended,), name="health", daemon=True).start()
        try:
            self._server.run(ready, reload)
        finally:
            ended.set()
        if self._outdated:
            raise DataFolderError(self._outdated)

    def close(self) -> None:
        """Save the last uses of keys, write the audit lines that wait, and end the chain."""
        self._hurry()
        settling = self._opened.store.settling
        # No answer rests on what is written now, so nothing waits for a node that has vanished.
        with nullcontext() if settling is None else settling.deferred():
            self._undo.close()

    def _hurry(self) -> None:
        """Have nothing wait for the database or for other nodes much longer: this process is about to end."""
        self._opened.store.hurry(LAST_WRITES)

    def _renew_health(self, ended: threading.Event) -> None:
        self._health.renew()
        while not ended.wait(_HEALTH_INTERVAL):
            self._health.renew()

    def _chores(self) -> None:
        self._keeper.upkeep()
        self._tls.report(self._problems, self._clock.now())
        try:
            current = self._opened.database.is_current()
        except UnknownSchemaError:
            current = False
        except Exception as error:  # noqa: BLE001 - the keeper has said what is wrong with the database
            logger.debug("the schema of the database cannot be read: %s", error)
            return
        if not current and not self._outdated:
            name = self._opened.folder.database_name
            self._outdated = f"a server of another release has upgraded {name}; use the command of its release"
            self._server.stop()


def _some_region(opened: OpenFolder) -> str:
    """Return a Region that has a domain key, for the test key; raises DataFolderError if there is none."""
    regions = sorted({scope for scope, _ in opened.unsealed_keys.versions()} - {IAM_SCOPE})
    if not regions:
        raise DataFolderError(f"`{opened.folder.path}` has no domain key of a Region; start a server once")
    return regions[0]
