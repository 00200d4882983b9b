"""How the processes of a node give each other their metrics: over sockets in the data folder.

This runs on a separate thread with its own event loop, so that it blocks no call. It is limited in number, size and
time.
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
from pathlib import Path
from typing import Protocol

import msgspec
from prometheus_client.core import Metric

from strongroom.audit.writer_id import worker_name
from strongroom.problems import AGENT
from strongroom.settings import Settings

MAX_ANSWERS = 8
ANSWER_TIME = 5.0
FRESH = 0.5
BACKLOG = 16

logger = logging.getLogger(__name__)


class OwnMetrics(Protocol):
    """The metrics of this process, and its name within its node."""

    @property
    def worker(self) -> str:
        """The name of this process."""
        ...

    @property
    def node(self) -> str:
        """The name of the node."""
        ...

    def collect(self) -> list[Metric]:
        """Return every family with its present samples."""
        ...


class Family(msgspec.Struct, frozen=True, array_like=True):
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
decoder = msgspec.msgpack.Decoder(list[Family])


class Meeting:
    """The folder with the sockets of all processes of a node, which are named after them."""

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
            listener.listen(BACKLOG)
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


def meeting_of(settings: Settings, workers: int) -> Meeting:
    """Return where the processes of a node meet that has so many workers."""
    agent = (AGENT,) if settings.is_on_postgresql else ()
    return Meeting(settings.folder / "metrics", (*map(worker_name, range(workers)), *agent))


class MetricsPeer:
    """Sends the metrics of this process to the others of its node."""

    def __init__(self, own: OwnMetrics, meeting: Meeting) -> None:
        self._own = own
        self._meeting = meeting
        self._own_metrics = (-FRESH, b"")

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """Serve on a separate thread until the end of the block; raises OSError when it cannot listen."""
        with contextlib.ExitStack() as open_:
            self._listen()
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

    def _listen(self) -> None:
        """Listen on what else this serves; raises OSError."""

    def _run(self, loop: asyncio.AbstractEventLoop, stop: asyncio.Event, own: socket.socket) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.run(self._serve(stop, own))
        except Exception:
            logger.exception("metrics are not shown any more")

    async def _serve(self, stop: asyncio.Event, own: socket.socket) -> None:
        async with await _start_unix_server(self._bounded(self._send_metrics), sock=own):
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
                if at_work <= MAX_ANSWERS:
                    async with asyncio.timeout(ANSWER_TIME):
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

    async def _send_metrics(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._own_metrics[0] >= FRESH:
            families = [
                Family(each.name, each.documentation, each.type, [(s.name, s.labels, s.value) for s in each.samples])
                for each in self._own.collect()
            ]
            self._own_metrics = (now, _encoder.encode(families))
        writer.write(self._own_metrics[1])
        await writer.drain()
