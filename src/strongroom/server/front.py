"""The parts of the server on one event loop, wired together: connections, turns, the dispatcher and its replies."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

import msgspec

from strongroom.api.cross_origin import CrossOrigin
from strongroom.api.gateway import Gateway
from strongroom.audit.sink import AuditSink
from strongroom.clock import Clock
from strongroom.operations.lanes import Lane
from strongroom.server.dispatcher import Dispatcher
from strongroom.server.open_connections import OpenConnections
from strongroom.server.refusals import Refusals
from strongroom.server.reply_queue import ReplyQueue
from strongroom.server.required_shipping import RequiredShipping
from strongroom.server.turn_queue import TurnQueue
from strongroom.service.counters import CallCounters
from strongroom.service.service import Service
from strongroom.telemetry.answered_call import CallObserver


class Capacity(msgspec.Struct, frozen=True):
    """What a worker takes on: threads of each lane, connections, and bytes held for them beyond a little for each."""

    threads: Mapping[Lane, int]
    connections: int
    held: int


class Front:
    """From connections to replies. ``connections`` is the handler to make connections with. Lives on one event loop.

    ``lease_wait`` returns how long a request that arrives may wait for a lease of the node, seconds.
    """

    def __init__(  # noqa: PLR0913 - the parts of a front
        self,
        loop: asyncio.AbstractEventLoop,
        gateway: Gateway,
        service: Service,
        log: AuditSink,
        capacity: Capacity,
        clock: Clock,
        *,
        counters: CallCounters,
        lease_wait: Callable[[], float],
        observers: Sequence[CallObserver] = (),
        cross_origin: CrossOrigin | None = None,
        required: RequiredShipping | None = None,
        name: str = "",
    ) -> None:
        self._record_limit = service.unauthenticated.limit
        self._clock = clock
        self._replies = ReplyQueue(loop, log, clock, counters, observers, cross_origin, required=required, name=name)
        refusals = Refusals(gateway, self._replies, cross_origin)
        self._dispatcher = Dispatcher(
            loop,
            gateway,
            service,
            self._replies,
            refusals,
            counters,
            clock,
            threads=capacity.threads,
            timed=bool(observers),
            lease_wait=lease_wait,
        )
        self.limits = self._dispatcher.limits
        turns = TurnQueue(loop, self._dispatcher.take_turn, refusals.busy, self._replies.flush)
        self.connections = OpenConnections(
            loop,
            clock.timer,
            counters,
            limit=capacity.connections,
            held=capacity.held,
            handle=turns.put,
            malformed=refusals.malformed,
            refuse=refusals.busy,
            each_sweep=self._settle_record_limit,
        )
        counters.in_work = self.limits.in_work

    async def drain(self, grace: float) -> None:
        """Answer the requests in work and close every connection; after ``grace`` seconds, drop the rest."""
        self._replies.draining = True
        await self.connections.drain(grace)

    def close(self) -> None:
        """End the threads."""
        self._record_limit.report()
        self._dispatcher.close()

    def _settle_record_limit(self) -> None:
        self._record_limit.settle(self._clock.now())
