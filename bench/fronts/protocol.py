"""Hello-world on an asyncio.Protocol over httptools: ``protocol.py uvloop|asyncio PORT [CERTIFICATE KEY]``.

It has what the real front needs: a request is parsed whole and its headers kept, sizes are bounded, a client that sends
too far ahead or does not read is not read from, and answers are sent in order, each in one write, at the end of the
loop's turn. There is no work in between.
"""

import asyncio
import ssl
import sys
from email.utils import formatdate
from typing import cast

import httptools
import uvloop
from hello import BODY, CONTENT_TYPE, REQUEST_ID
from typing_extensions import override

LARGEST = 1024 * 1024
PIPELINED = 16


class Hello(asyncio.Protocol):
    def __init__(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.size = 0
        self.headers: dict[str, str] = {}
        self.body: list[bytes] = []
        self.due = 0
        self.last = False
        self.writable = True

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    @override
    def data_received(self, data: bytes) -> None:
        self.size += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.abort()
        if self.size > LARGEST:
            self.transport.abort()

    @override
    def pause_writing(self) -> None:
        self.writable = False

    @override
    def resume_writing(self) -> None:
        self.writable = True
        for _ in range(self.due):
            queue(self)

    def on_message_begin(self) -> None:
        self.headers = {}
        self.body = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, chunk: bytes) -> None:
        self.body.append(chunk)

    def on_message_complete(self) -> None:
        self.size = 0
        self.body = [b"".join(self.body)]
        self.last = not self.parser.should_keep_alive()
        self.due += 1
        if self.due > PIPELINED:
            self.transport.pause_reading()
        queue(self)

    def answer(self, reply: bytes) -> None:
        if not self.writable or not self.due:
            return
        self.due -= 1
        self.transport.write(reply)
        if not self.due:
            self.transport.resume_reading()
            if self.last:
                self.transport.close()


pending: list[Hello] = []
date = formatdate(usegmt=True)


def queue(connection: Hello) -> None:
    if not pending:
        asyncio.get_running_loop().call_soon(flush)
    pending.append(connection)


def flush() -> None:
    turn = pending.copy()
    pending.clear()
    for connection in turn:
        head = (
            f"HTTP/1.1 200 OK\r\nx-amzn-RequestId: {REQUEST_ID}\r\nCache-Control: no-cache\r\nDate: {date}\r\n"
            f"Content-Type: {CONTENT_TYPE}\r\nContent-Length: {len(BODY)}\r\n\r\n"
        )
        connection.answer(head.encode() + BODY)


async def main(port: int, certificate: list[str]) -> None:
    context = None
    if certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*certificate)
    server = await asyncio.get_running_loop().create_server(Hello, "127.0.0.1", port, ssl=context)
    await server.serve_forever()


if __name__ == "__main__":
    loop = uvloop.new_event_loop if sys.argv[1] == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main(int(sys.argv[2]), sys.argv[3:]))
