"""A connection without a network: bytes go in, and the requests that it reads are recorded."""

import asyncio

from typing_extensions import override

from strongroom.http.connection import Connection, Limits
from strongroom.http.fast_parser import FastParser
from strongroom.http.held_bytes import HeldBytes
from strongroom.http.message import HttpRequest

LIMITS = Limits(head=2048, body=2048)


class Recorder:
    """Takes the requests of a connection, and answers each at once."""

    def __init__(self) -> None:
        self.held_bytes = HeldBytes(1 << 30)
        self.requests: list[HttpRequest] = []
        self.refusals: list[int] = []

    def time(self) -> float:
        return 0.0

    def timer(self) -> float:
        return 0.0

    def opened(self, _connection: Connection) -> "Recorder":
        return self

    def closed(self, connection: Connection) -> None:
        pass

    def handle(self, connection: Connection, request: HttpRequest) -> None:
        self.requests.append(request)
        connection.busy = False

    def malformed(self, _connection: Connection, status: int, _headers: dict[str, str]) -> None:
        self.refusals.append(status)


class Wire(asyncio.Transport):
    """As much of a transport as is needed."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})

    @override
    def write(self, _data: object) -> None:
        pass

    @override
    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    @override
    def pause_reading(self) -> None:
        pass

    @override
    def resume_reading(self) -> None:
        pass


class NothingIsPlain(FastParser):
    """Leaves everything to the general parser."""

    @override
    def read(self, _data: bytes) -> None:
        return None


def received(pieces: list[bytes], fast_parser: FastParser) -> tuple[Recorder, Connection]:
    recorder = Recorder()
    connection = Connection(recorder, LIMITS, fast_parser, secure=False)
    connection.connection_made(Wire())
    for piece in pieces:
        connection.data_received(piece)
    return recorder, connection
