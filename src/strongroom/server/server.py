"""Listens, serves until told to stop, and drains."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable, Sequence
from functools import partial

import msgspec
import uvloop

from strongroom.api.cross_origin import CrossOrigin
from strongroom.audit.sink import AuditSink
from strongroom.clock import Clock
from strongroom.entropy import Entropy
from strongroom.http.acceptor import Acceptor
from strongroom.http.connection import Connection, Limits
from strongroom.http.fast_parser import FastParser
from strongroom.http.listeners import join_port
from strongroom.http.open_files import connections_within_limits
from strongroom.http.timeouts import Timeouts
from strongroom.operations.lanes import Lane
from strongroom.server.front import Capacity, Front
from strongroom.server.gateway_maker import GatewayMaker, make_gateway
from strongroom.server.keeper_thread import keeping
from strongroom.server.listening import listening
from strongroom.server.required_shipping import RequiredShipping
from strongroom.server.tls import Tls
from strongroom.service.counters import CallCounters
from strongroom.service.service import Service
from strongroom.settings import Settings
from strongroom.store.leases.bounds import RENEWALS
from strongroom.telemetry.answered_call import CallObserver

logger = logging.getLogger(__name__)

_BACKLOG = 2048
_LONGEST_LEASE_WAIT = 1.0
"""How long a request waits for a lease at most, seconds: clients that retry should rather ask another node."""
_WRITERS = 32
"""Threads that write to PostgreSQL. Most of them wait for the same commit, which costs no more for many."""
_STOP = (signal.SIGTERM, signal.SIGINT)


class _Renewable(msgspec.Struct, frozen=True):
    """What of its settings a server takes on while it serves, all in seconds. It is read at each use."""

    keeper_interval: float
    drain: float
    lease: float


class Server:
    """Serves one deployment on one address, which is claimed. ``chores`` are done at once and then at every interval.

    ``settings`` are those of its start; ``renew`` gives it others.

    ``hurry`` is called when no call is in progress any more: the last round of the chores must end soon then.

    Other processes may listen on the same address, and the kernel spreads connections over them. ``gateway`` makes what
    admits requests. ``name`` is sent as the Server header of every answer (RFC 9110, 10.2.4); without one, none is.
    """

    def __init__(  # noqa: PLR0913 - the parts of a server
        self,
        settings: Settings,
        service: Service,
        chores: Callable[[], bool | None],
        log: AuditSink,
        clock: Clock,
        entropy: Entropy,
        *,
        counters: CallCounters,
        tls: Tls,
        hurry: Callable[[], object] = lambda: None,
        observers: Sequence[CallObserver] = (),
        required: RequiredShipping | None = None,
        gateway: GatewayMaker = make_gateway,
        name: str = "",
    ) -> None:
        self._settings = settings
        self._renewable = _renewable(settings)
        self._make_gateway = gateway
        self._name = name
        self._tls = tls
        self._when_renewed: Sequence[Callable[[], object]] = ()
        self._stopping: Callable[[], None] | None = None
        self._service = service
        self._chores = chores
        self._hurry = hurry
        self._counters = counters
        self._observers = observers
        self._log = log
        self._required = required
        self._clock = clock
        self._entropy = entropy

    def run(self, ready: Callable[[str], None]) -> None:
        """Serve until SIGTERM or SIGINT; call ``ready`` with the URL once connections are accepted.

        Raises OSError when the address cannot be listened on.
        """
        listener = join_port(*self._settings.address)
        with contextlib.closing(listener), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve(listener, ready))

    def when_stopping(self, stopping: Callable[[], None]) -> None:
        """Have ``stopping`` called on the event loop when the server has been told to stop and begins to drain."""
        self._stopping = stopping

    def renew(self, settings: Settings) -> None:
        """Take on the settings that can change while it serves (``settings_sources.RELOADED``). Any thread may call it.

        Connections that are accepted from now on get the present certificates of its ``Tls``. The chores are done at
        once.
        """
        self._renewable = _renewable(settings)
        for each in self._when_renewed:
            each()

    async def _serve(self, listener: socket.socket, ready: Callable[[str], None]) -> None:
        loop = asyncio.get_running_loop()
        acceptor = Acceptor(listener)
        for signal_number in _STOP:
            loop.add_signal_handler(signal_number, acceptor.stop)
        with contextlib.closing(self._front(loop)) as front, self._keeping() as begin_round:
            self._when_renewed = (partial(loop.call_soon_threadsafe, acceptor.renew), begin_round)
            limits = Limits(timeouts=Timeouts(self._settings.request_time, self._settings.idle_time))
            fast_parser = FastParser(limits.head, limits.body)
            connections, handshakes = front.connections, front.connections.handshakes
            secure = self._tls.context is not None
            if secure:
                self._counters.failed_handshakes = self._tls.failed_handshakes.counts

            def connect() -> asyncio.BaseProtocol:
                return handshakes.begun(Connection(connections, limits, fast_parser, secure=secure))

            listen = listening(loop, connect, self._tls, _BACKLOG)
            await acceptor.run(listen, handshakes, lambda: ready(url_of(self._settings, listener)))
            if self._stopping is not None:
                self._stopping()
            await front.drain(self._renewable.drain)
            # All is done. A second signal, as supervisors and terminals may send it, must not look like a crash.
            signal.pthread_sigmask(signal.SIG_BLOCK, _STOP)

    def _keeping(self) -> contextlib.AbstractContextManager[Callable[[], None]]:
        return keeping(self._chores, lambda: self._renewable.keeper_interval, self._hurry)

    def _front(self, loop: asyncio.AbstractEventLoop) -> Front:
        settings = self._settings
        gateway = self._make_gateway(settings, self._service, self._clock, self._entropy)
        cores = len(os.sched_getaffinity(0))
        threads = {
            Lane.READING: settings.threads,
            Lane.WRITING: settings.write_threads or (_WRITERS if settings.store else settings.threads),
            Lane.SIGNING: cores,
            Lane.COMPUTING: cores,
            Lane.GENERATING: max(1, cores // 2),
            Lane.KEY_BACKEND: settings.key_backend_threads,
            Lane.XKS_PROXY: settings.xks_threads,
        }
        return Front(
            loop,
            gateway,
            self._service,
            self._log,
            Capacity(threads, connections_within_limits(settings.max_connections), settings.held_bytes),
            self._clock,
            counters=self._counters,
            lease_wait=lambda: min(_LONGEST_LEASE_WAIT, self._renewable.lease / RENEWALS),
            observers=self._observers,
            cross_origin=CrossOrigin(settings.cors_origins) if settings.cors_origins else None,
            required=self._required,
            name=self._name,
        )


def _renewable(settings: Settings) -> _Renewable:
    return _Renewable(settings.keeper_interval, settings.drain, settings.lease)


def url_of(settings: Settings, listener: socket.socket) -> str:
    """Return the URL under which clients reach a listener."""
    host, _ = settings.address
    shown = f"[{host}]" if ":" in host else host
    return f"{settings.scheme}://{shown}:{listener.getsockname()[1]}"
