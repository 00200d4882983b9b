"""Listens for AWS KMS, serves until told to stop, and drains: the listener of the XKS proxy."""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable
from functools import partial
from typing import cast

import uvloop
from typing_extensions import override

from strongroom.audit.sink import AuditSink
from strongroom.clock import Clock
from strongroom.http.acceptor import Acceptor
from strongroom.http.connection import Limits
from strongroom.http.fast_parser import FastParser
from strongroom.http.listeners import join_port
from strongroom.http.open_files import connections_within_limits
from strongroom.http.timeouts import Timeouts
from strongroom.server.keeper_thread import keeping
from strongroom.server.listening import listening
from strongroom.server.tls import Tls
from strongroom.server.xks_front import XksCapacity, XksFront
from strongroom.server.xks_work import XksConnection, XksWork
from strongroom.service.unauthenticated import RecordRateLimit
from strongroom.service.xks_trail import XksTrail
from strongroom.settings import Settings
from strongroom.store.records import KeyUse

logger = logging.getLogger(__name__)

_BACKLOG = 512
_MOST_BODY = 64 * 1024
"""Bytes. The largest request that AWS KMS makes has half of that."""
_STOP = (signal.SIGTERM, signal.SIGINT)


class _Named(XksConnection):
    """Notes the name of the client when its handshake is over."""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.client_name = _common_name(transport.get_extra_info("peercert"))
        super().connection_made(transport)


class XksServer:
    """Serves XKS proxies on one address, which is claimed. ``chores`` are done at once and then at every interval.

    ``settings`` are those of the listener (``assembly.xks_serving``).
    """

    def __init__(  # noqa: PLR0913 - the parts of a server
        self,
        settings: Settings,
        work: XksWork,
        trail: XksTrail,
        limit: RecordRateLimit,
        log: AuditSink,
        *,
        note_use: Callable[[KeyUse], None],
        chores: Callable[[], bool | None],
        hurry: Callable[[], object],
        clock: Clock,
        tls: Tls,
    ) -> None:
        self._settings = settings
        self._work = work
        self._trail = trail
        self._limit = limit
        self._log = log
        self._note_use = note_use
        self._chores = chores
        self._hurry = hurry
        self._clock = clock
        self._tls = tls
        self._stop: Callable[[], object] = lambda: None

    def run(self, ready: Callable[[], None], reload: Callable[[], None]) -> None:
        """Serve until SIGTERM or SIGINT; call ``ready`` once connections are accepted, and ``reload`` after SIGHUP.

        ``reload`` runs on a thread and renews the certificates of ``tls``. Raises OSError when the address cannot be
        listened on.
        """
        listener = join_port(*self._settings.address)
        with contextlib.closing(listener), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve(listener, ready, reload))

    def stop(self) -> None:
        """End serving as SIGTERM does. Any thread may call this."""
        self._stop()

    async def _serve(self, listener: socket.socket, ready: Callable[[], None], reload: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        acceptor = Acceptor(listener)
        self._stop = partial(loop.call_soon_threadsafe, acceptor.stop)
        for signal_number in _STOP:
            loop.add_signal_handler(signal_number, acceptor.stop)

        def renew() -> None:
            reload()
            loop.call_soon_threadsafe(acceptor.renew)

        loop.add_signal_handler(signal.SIGHUP, lambda: loop.run_in_executor(None, renew))
        with contextlib.closing(self._front(loop)) as front, self._keeping():
            limits = Limits(body=_MOST_BODY, timeouts=Timeouts(self._settings.request_time, self._settings.idle_time))
            fast_parser = FastParser(limits.head, limits.body)
            connections, handshakes = front.connections, front.connections.handshakes
            secure = self._tls.context is not None

            def connect() -> asyncio.BaseProtocol:
                return handshakes.begun(_Named(connections, limits, fast_parser, secure=secure))

            listen = listening(loop, connect, self._tls, _BACKLOG)
            await acceptor.run(listen, handshakes, ready)
            await front.drain(self._settings.drain)
            # All is done. A second signal must not look like a crash.
            signal.pthread_sigmask(signal.SIG_BLOCK, _STOP)

    def _keeping(self) -> contextlib.AbstractContextManager[object]:
        return keeping(self._chores, lambda: self._settings.keeper_interval, self._hurry)

    def _front(self, loop: asyncio.AbstractEventLoop) -> XksFront:
        settings = self._settings
        capacity = XksCapacity(
            settings.xks_serve_threads,
            connections_within_limits(settings.max_connections),
            settings.held_bytes,
            settings.xks_deadline,
        )
        return XksFront(
            loop,
            self._work,
            self._trail,
            self._log,
            note_use=self._note_use,
            capacity=capacity,
            clock=self._clock,
            settle=lambda: self._limit.settle(self._clock.now()),
        )


def _common_name(certificate: object) -> str | None:
    """Return the common name in the subject of a verified certificate; None if it has none, or several."""
    if not isinstance(certificate, dict):
        return None
    subject = cast("tuple[tuple[tuple[str, str], ...], ...]", certificate.get("subject", ()))
    names = [value for entry in subject for field, value in entry if field == "commonName"]
    return names[0] if len(names) == 1 else None
