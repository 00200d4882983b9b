"""``distant.py HOST:PORT``: a host that is a millisecond away. Listens on a free loopback port, and prints its address.

What a client sends is passed on a millisecond later, and answers at once.
"""

import asyncio
import sys
from functools import partial

DELAY = 0.001
"""Seconds."""


async def main() -> None:
    """Relay until the process is ended."""
    host, _, port = sys.argv[1].partition(":")
    server = await asyncio.start_server(partial(relay, host, int(port)), "127.0.0.1", 0)
    print("127.0.0.1:{1}".format(*server.sockets[0].getsockname()), flush=True)
    await server.serve_forever()


async def relay(host: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    there, back = await asyncio.open_connection(host, port)
    await asyncio.gather(passed(reader, back, DELAY), passed(there, writer, 0.0))


async def passed(source: asyncio.StreamReader, sink: asyncio.StreamWriter, delay: float) -> None:
    while data := await source.read(1 << 16):
        if delay:
            await asyncio.sleep(delay)
        sink.write(data)
        await sink.drain()
    sink.close()


if __name__ == "__main__":
    asyncio.run(main())
