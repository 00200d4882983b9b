"""The metrics of all workers over HTTP: ``GET /metrics`` on a separate port.

Every worker listens on that port and answers for all workers. It gets the metrics of the others over sockets in the
data folder, and reports workers that do not answer. This runs on a separate thread with its own event loop, so that
scrapes do not block calls. Scrapes are limited in number, size and time. Scrapes within a short time share an answer.
"""

import asyncio
import contextlib
import logging
import os
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from http import HTTPStatus
from pathlib import Path

import msgspec
from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample
from typing_extensions import override

from strongroom.telemetry.metrics import WorkerMetrics

_MAX_SCRAPES = 8
_MAX_HEAD = 8 * 1024
_SCRAPE_TIME = 5.0
_PEER_TIME = 2.0
_FRESH = 0.5
_BACKLOG = 16

logger = logging.getLogger(__name__)


class _Family(msgspec.Struct, frozen=True, array_like=True):
    """A metric family as workers exchange it. A sample is name, labels and value."""

    name: str
    about: str
    type: str
    samples: list[tuple[str, dict[str, str], float]]


if sys.version_info >= (3, 13):
    # asyncio must not remove the socket's file: the address that it got is not valid later (see ``Meeting``).
    _start_unix_server = partial(asyncio.start_unix_server, cleanup_socket=False)
else:
    _start_unix_server = asyncio.start_unix_server

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[_Family])


class Meeting:
    """The folder with the sockets of all workers, which are named after the workers."""

    def __init__(self, folder: Path, workers: tuple[str, ...]) -> None:
        self._folder = folder
        self.workers = workers

    def listen(self, worker: str) -> socket.socket:
        """Return a worker's own socket; raises OSError."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        try:
            with self._short_path(worker) as path:
                # A worker that was killed has left its socket.
                Path(path).unlink(missing_ok=True)
                listener.bind(path)
                Path(path).chmod(0o600)
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            raise
        return listener

    def leave(self, worker: str) -> None:
        """Remove a worker's own socket."""
        (self._folder / worker).unlink(missing_ok=True)

    def connect(self, worker: str) -> socket.socket:
        """Return a connection to another worker; raises OSError if it is not there."""
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.setblocking(False)  # noqa: FBT003 - its only argument
            with self._short_path(worker) as path:
                connection.connect(path)
        except OSError:
            connection.close()
            raise
        return connection

    @contextlib.contextmanager
    def _short_path(self, worker: str) -> Iterator[str]:
        # A socket address has room for 107 bytes; a path may be longer.
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield f"/proc/self/fd/{folder}/{worker}"
        finally:
            os.close(folder)


class MetricsListener:
    """Answers scrapes on ``listener``, which is bound, with the metrics of all workers."""

    def __init__(self, listener: socket.socket, own: WorkerMetrics, meeting: Meeting) -> None:
        self._listener = listener
        self._own = own
        self._meeting = meeting
        self._collecting = asyncio.Lock()
        self._collected = (-_FRESH, b"")
        self._own_metrics = (-_FRESH, b"")

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """Serve on a separate thread until the end of the block; raises OSError when it cannot listen."""
        with contextlib.ExitStack() as open_:
            self._listener.listen(_BACKLOG)
            own = open_.enter_context(contextlib.closing(self._meeting.listen(self._own.worker)))
            loop, stop = asyncio.new_event_loop(), asyncio.Event()
            thread = threading.Thread(target=self._run, args=(loop, stop, own), name="metrics")
            thread.start()
            try:
                yield
            finally:
                with contextlib.suppress(RuntimeError):  # the thread has ended by itself
                    loop.call_soon_threadsafe(stop.set)
                thread.join()
                self._meeting.leave(self._own.worker)

    def _run(self, loop: asyncio.AbstractEventLoop, stop: asyncio.Event, own: socket.socket) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.run(self._serve(stop, own))
        except Exception:
            logger.exception("metrics are not shown any more")

    async def _serve(self, stop: asyncio.Event, own: socket.socket) -> None:
        async with (
            await asyncio.start_server(self._bounded(self._answer), sock=self._listener, limit=_MAX_HEAD),
            await _start_unix_server(self._bounded(self._send_metrics), sock=own),
        ):
            await stop.wait()

    def _bounded(
        self, answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
    ) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
        """Return a handler of connections that closes those that are too many or too slow."""
        at_work = 0

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal at_work
            at_work += 1
            try:
                if at_work <= _MAX_SCRAPES:
                    async with asyncio.timeout(_SCRAPE_TIME):
                        await answer(reader, writer)
                        writer.close()
                        await writer.wait_closed()
            except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.CancelledError):
                pass  # the client has disconnected or is too slow, or the server stops
            except Exception:
                logger.exception("a scrape could not be answered")
            finally:
                at_work -= 1
                writer.transport.abort()

        return handle

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
        """Return the metrics of all workers, at most half a second old."""
        async with self._collecting:
            now = asyncio.get_running_loop().time()
            if now - self._collected[0] >= _FRESH:
                self._collected = (now, generate_latest(_Merged(await self._gather())))
            return self._collected[1]

    async def _gather(self) -> list[Metric]:
        others = [worker for worker in self._meeting.workers if worker != self._own.worker]
        answers = dict(zip(others, await asyncio.gather(*map(self._fetch_metrics, others)), strict=True))
        about = "1 for a worker that answers with its metrics."
        up = GaugeMetricFamily("strongroom_worker_up", about, labels=["worker", "node"])
        for worker in self._meeting.workers:
            up.add_metric([worker, self._own.node], answers.get(worker, True) is not None)
        merged = {family.name: family for family in (up, *self._own.collect())}
        for family in (family for families in answers.values() for family in families or ()):
            merged.setdefault(family.name, Metric(family.name, family.about, family.type)).samples += [
                Sample(name, labels, value) for name, labels, value in family.samples
            ]
        return list(merged.values())

    async def _fetch_metrics(self, worker: str) -> list[_Family] | None:
        """Return the metrics of another worker, None if it does not answer."""
        try:
            async with asyncio.timeout(_PEER_TIME):
                reader, writer = await asyncio.open_unix_connection(sock=self._meeting.connect(worker))
                try:
                    return _decoder.decode(await reader.read(-1))
                finally:
                    writer.transport.abort()
        except (OSError, TimeoutError, msgspec.DecodeError):
            return None

    async def _send_metrics(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._own_metrics[0] >= _FRESH:
            families = [
                _Family(each.name, each.documentation, each.type, [(s.name, s.labels, s.value) for s in each.samples])
                for each in self._own.collect()
            ]
            self._own_metrics = (now, _encoder.encode(families))
        writer.write(self._own_metrics[1])
        await writer.drain()


class _Merged(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    @override
    def collect(self) -> list[Metric]:
        return self._families
