"""A receiver of webhooks: an HTTPS server on a loopback port, in a thread of the test."""

import http.server
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import ClassVar

from typing_extensions import override

from tls_files import Pair


class Receiver(http.server.BaseHTTPRequestHandler):
    """Keeps what it gets, and answers with ``status``."""

    protocol_version = "HTTP/1.1"
    got: ClassVar[list[tuple[dict[str, str], bytes]]]
    status = 200

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        type(self).got.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(type(self).status)
        self.send_header("Location", "https://127.0.0.1:1/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    @override
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def receiver(pair: Pair, port: int = 0) -> Iterator[tuple[type[Receiver], int]]:
    """Receive on a port; yield what keeps the requests, and the port."""

    class Own(Receiver):
        got: ClassVar[list[tuple[dict[str, str], bytes]]] = []

    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Own)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=partial(server.serve_forever, 0.05))
    thread.start()
    try:
        yield Own, server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
