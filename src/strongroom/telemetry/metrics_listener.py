"""The metrics of all processes of a node over HTTP: ``GET /metrics`` on a separate port.

Every worker listens on that port and answers for all of them. It gets the metrics of the others over sockets in the
data folder (``metrics_meeting``), and reports those that do not answer. This runs on a separate thread with its own
event loop, so that scrapes do not block calls. Scrapes are limited in number, size and time. Scrapes within a short
time share an answer.
"""

import asyncio
import socket
from http import HTTPStatus

import msgspec
from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample
from typing_extensions import override

from strongroom.telemetry.metrics_meeting import BACKLOG, FRESH, Family, Meeting, MetricsPeer, OwnMetrics, decoder

_MAX_HEAD = 8 * 1024
_PEER_TIME = 2.0


class MetricsListener(MetricsPeer):
    """Answers scrapes on ``listener``, which is bound, with the metrics of all processes of the node."""

    def __init__(self, listener: socket.socket, own: OwnMetrics, meeting: Meeting) -> None:
        super().__init__(own, meeting)
        self._listener = listener
        self._collecting = asyncio.Lock()
        self._collected = (-FRESH, b"")

    @override
    def _listen(self) -> None:
        self._listener.listen(BACKLOG)

    @override
    async def _serve(self, stop: asyncio.Event, own: socket.socket) -> None:
        async with await asyncio.start_server(self._bounded(self._answer), sock=self._listener, limit=_MAX_HEAD):
            await super()._serve(stop, own)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        status, body = await self._reply(reader)
        content_type = CONTENT_TYPE_PLAIN_0_0_4 if status is HTTPStatus.OK else "text/plain"
        allow = "Allow: GET\r\n" if status is HTTPStatus.METHOD_NOT_ALLOWED else ""
        head = (
            f"HTTP/1.1 {status} {status.phrase}\r\nContent-Type: {content_type}\r\n{allow}"
            f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        await writer.drain()

    async def _reply(self, reader: asyncio.StreamReader) -> tuple[HTTPStatus, bytes]:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, b""
        match head.partition(b"\r\n")[0].split(b" "):
            case [b"GET", target, version] if version.startswith(b"HTTP/1."):
                if target.partition(b"?")[0] != b"/metrics":
                    return HTTPStatus.NOT_FOUND, b""
                return HTTPStatus.OK, await self._all_metrics()
            case [_, _, version] if version.startswith(b"HTTP/1."):
                return HTTPStatus.METHOD_NOT_ALLOWED, b""
            case _:
                return HTTPStatus.BAD_REQUEST, b""

    async def _all_metrics(self) -> bytes:
        """Return the metrics of all processes, at most half a second old."""
        async with self._collecting:
            now = asyncio.get_running_loop().time()
            if now - self._collected[0] >= FRESH:
                self._collected = (now, generate_latest(_Merged(await self._gather())))
            return self._collected[1]

    async def _gather(self) -> list[Metric]:
        others = [worker for worker in self._meeting.workers if worker != self._own.worker]
        answers = dict(zip(others, await asyncio.gather(*map(self._fetch_metrics, others)), strict=True))
        about = "1 for a worker, or an agent, that answers with its metrics."
        up = GaugeMetricFamily("strongroom_worker_up", about, labels=["worker", "node"])
        for worker in self._meeting.workers:
            up.add_metric([worker, self._own.node], answers.get(worker, True) is not None)
        merged = {family.name: family for family in (up, *self._own.collect())}
        for family in (family for families in answers.values() for family in families or ()):
            merged.setdefault(family.name, Metric(family.name, family.about, family.type)).samples += [
                Sample(name, labels, value) for name, labels, value in family.samples
            ]
        return list(merged.values())

    async def _fetch_metrics(self, worker: str) -> list[Family] | None:
        """Return the metrics of another process, None if it does not answer."""
        try:
            async with asyncio.timeout(_PEER_TIME):
                reader, writer = await asyncio.open_unix_connection(sock=self._meeting.connect(worker))
                try:
                    return decoder.decode(await reader.read(-1))
                finally:
                    writer.transport.abort()
        except (OSError, TimeoutError, msgspec.DecodeError):
            return None


class _Merged(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    @override
    def collect(self) -> list[Metric]:
        return self._families
