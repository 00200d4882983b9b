"""Serves a deployment, in the process of ``serve`` or in its workers."""

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from strongroom.assembly.audit_shipping import statuses_of
from strongroom.assembly.deployment import Deployment
from strongroom.assembly.events import event_statuses
from strongroom.assembly.unsealing import Unsealing
from strongroom.audit.writer_id import worker_name
from strongroom.clock import Clock, SystemClock
from strongroom.crypto.seal import Unsealed
from strongroom.entropy import system_entropy
from strongroom.http.listeners import join_port
from strongroom.http.trusted_proxies import TrustedProxies
from strongroom.server.server import Server
from strongroom.server.tls import Tls
from strongroom.service.counters import CallCounters
from strongroom.settings import Settings, SettingsError, address_of
from strongroom.telemetry.access_log import AccessLog
from strongroom.telemetry.log_queue import LogQueue
from strongroom.telemetry.logs import name_node, set_log_level
from strongroom.telemetry.metrics import Sources, WorkerMetrics
from strongroom.telemetry.metrics_listener import MetricsListener
from strongroom.telemetry.metrics_meeting import meeting_of

if TYPE_CHECKING:
    from strongroom.telemetry.tracing import Tracing

_SWITCH_INTERVAL = 0.0005
_YOUNG_OBJECTS = 20_000


class Serving(msgspec.Struct, frozen=True):
    """A server that accepts connections: its URL, and how to give it settings that were read anew.

    ``renew`` takes the settings of ``settings_sources.reloaded``. It reads files, so it is not for the event loop. It
    raises SettingsError, and changes nothing, if a certificate cannot be used. ``when_stopping`` takes what shall be
    called, on the event loop, when the server begins to stop.
    """

    url: str
    renew: Callable[[Settings], None]
    when_stopping: Callable[[Callable[[], None]], None]


def serve_as(
    settings: Settings,
    worker: int | None,
    log: LogQueue,
    ready: Callable[[Serving], None],
    release: Callable[[], None] | None = None,
    unsealed: Unsealed | None = None,
) -> None:
    """Serve until SIGTERM, as one of several workers or alone, on ports that are claimed.

    ``log`` is the queue of log lines. ``ready`` is called on the event loop, and ``release`` when the data folder, if
    this process has locked it, is closed. ``unsealed`` is what opened the seals before. Raises what ``Deployment`` and
    ``Server.run`` do.
    """
    tls = Tls(settings)
    clock = SystemClock()
    counters = CallCounters()
    with ExitStack() as parts:
        access_log = tracing = None
        if settings.access_log:
            access_log = AccessLog(TrustedProxies(settings.trusted_proxies), log)
        if settings.traces is not None:
            tracing = parts.enter_context(closing(_open_tracing(settings.traces, worker_name(worker), clock)))
        unsealing = Unsealing(settings, system_entropy, known=unsealed)
        # The data folder is closed before the access log and the traces, which may wait for a slow reader or collector.
        deployment = parts.enter_context(Deployment(settings, clock, system_entropy, worker, release, unsealing))
        name_node(log, deployment.node)
        sources = Sources(
            worker_name(worker),
            deployment.node,
            counters,
            deployment.keeper.counters,
            deployment.store_counters,
            deployment.log,
            deployment.backends.snapshot,
            deployment.problems,
            access_log,
            proxy_calls=deployment.backends.key_managers.outcomes,
            shipping=partial(statuses_of, settings) if not worker else tuple,
            events=partial(event_statuses, settings) if not worker else tuple,
            certificate_expires=lambda: tls.expires,
        )
        parts.enter_context(_showing_metrics(settings, sources, 1 if worker is None else settings.workers))
        tune_interpreter()

        def chores() -> bool | None:
            is_left = deployment.chores()
            deployment.token.look(deployment.domain_keys)
            deployment.back_ends.look()
            if not worker:
                tls.report(deployment.problems, clock.now())
            return is_left

        server = Server(
            settings,
            deployment.service,
            chores,
            deployment.log,
            clock,
            system_entropy,
            counters=counters,
            observers=[each for each in (access_log, tracing) if each is not None],
            tls=tls,
            hurry=deployment.hurry,
            required=deployment.required_shipping,
        )

        def renew(renewed: Settings) -> None:
            tls.renew(renewed)
            set_log_level(renewed)
            deployment.renew(renewed)
            server.renew(renewed)

        server.run(lambda url: ready(Serving(url, renew, server.when_stopping)))


@contextmanager
def _showing_metrics(settings: Settings, sources: Sources, workers: int) -> Iterator[None]:
    """Serve metrics, if enabled, on an address that workers share; raises OSError if it cannot be used."""
    if settings.metrics_listen is None:
        yield
        return
    meeting = meeting_of(settings, workers)
    with (
        closing(join_port(*address_of(settings.metrics_listen))) as listener,
        MetricsListener(listener, WorkerMetrics(sources), meeting).serving(),
    ):
        yield


def _open_tracing(url: str, worker: str, clock: Clock) -> "Tracing":
    """Return the exporter of traces, if enabled; raises SettingsError if the extra ``otel`` is not installed."""
    try:
        from strongroom.telemetry.tracing import Tracing  # noqa: PLC0415 - an extra that need not be there
    except ModuleNotFoundError as error:
        raise SettingsError(f"`traces` needs more to be installed: pip install 'strongroom[otel]' ({error})") from None
    return Tracing(url, worker, clock)


def tune_interpreter() -> None:
    """Set the interpreter up for a process that serves: its switches of threads, and its garbage collector."""
    # A thread that has finished a signature waits for the event loop this long at most, not for 5 ms.
    sys.setswitchinterval(_SWITCH_INTERVAL)
    # Calls leave no reference cycles, so frequent garbage collections would find nothing.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 50, 100)
