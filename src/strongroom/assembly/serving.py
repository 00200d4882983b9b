"""Serves a deployment, in the process of ``serve`` or in its workers."""

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING

from strongroom.assembly.deployment import Deployment
from strongroom.audit.writer_id import worker_name
from strongroom.clock import Clock, SystemClock
from strongroom.entropy import system_entropy
from strongroom.http.trusted_proxies import TrustedProxies
from strongroom.server.server import Server, listener_on
from strongroom.service.counters import CallCounters
from strongroom.settings import Settings, SettingsError, address_of
from strongroom.telemetry.access_log import AccessLog
from strongroom.telemetry.log_queue import LogQueue
from strongroom.telemetry.logs import name_node
from strongroom.telemetry.metrics import Sources, WorkerMetrics
from strongroom.telemetry.metrics_listener import Meeting, MetricsListener

if TYPE_CHECKING:
    from strongroom.telemetry.tracing import Tracing

_SWITCH_INTERVAL = 0.0005
_YOUNG_OBJECTS = 20_000


def serve_as(settings: Settings, worker: int | None, log: LogQueue, ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM, as one of several workers or alone; ``log`` is the queue of log lines.

    Raises what ``Deployment`` and ``Server.run`` do.
    """
    clock = SystemClock()
    counters = CallCounters()
    with ExitStack() as parts:
        access_log = tracing = None
        if settings.access_log:
            access_log = AccessLog(TrustedProxies(settings.trusted_proxies), log)
        if settings.traces is not None:
            tracing = parts.enter_context(closing(_open_tracing(settings.traces, worker_name(worker), clock)))
        # The data folder is closed before the access log and the traces, which may wait for a slow reader or collector.
        deployment = parts.enter_context(Deployment(settings, clock, system_entropy, worker))
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
        )
        parts.enter_context(_showing_metrics(settings, sources, 1 if worker is None else settings.workers))
        _tune_interpreter()
        Server(
            settings,
            deployment.service,
            deployment.chores,
            deployment.log,
            clock,
            system_entropy,
            counters=counters,
            observers=[each for each in (access_log, tracing) if each is not None],
            shared=worker is not None,
        ).run(ready)


@contextmanager
def _showing_metrics(settings: Settings, sources: Sources, workers: int) -> Iterator[None]:
    """Serve metrics, if enabled, on an address that workers share; raises OSError if it cannot be used."""
    if settings.metrics_listen is None:
        yield
        return
    meeting = Meeting(settings.folder / "metrics", tuple(map(worker_name, range(workers))))
    with (
        closing(listener_on(*address_of(settings.metrics_listen), shared=True)) as listener,
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


def _tune_interpreter() -> None:
    # A thread that has finished a signature waits for the event loop this long at most, not for 5 ms.
    sys.setswitchinterval(_SWITCH_INTERVAL)
    # Calls leave no reference cycles, so frequent garbage collections would find nothing.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 50, 100)
