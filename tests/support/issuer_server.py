"""An OpenID Connect issuer that publishes its keys over TLS, as OpenID Connect Discovery has it, on a loopback port."""

import json
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from typing_extensions import override

from issuers import Issuer

DISCOVERY = "/tenant/.well-known/openid-configuration"


def certificate(folder: Path) -> tuple[Path, Path]:
    """Make a self-signed certificate for localhost; return its file and that of its key."""
    subject = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", *subject]
    subprocess.run([*command, "-keyout", "key.pem", "-out", "cert.pem"], cwd=folder, check=True, capture_output=True)
    return folder / "cert.pem", folder / "key.pem"


class IssuerServer:
    """Serves an issuer's discovery document and keys. ``asked`` are the paths of the requests so far."""

    def __init__(self, issuer: Issuer, folder: Path) -> None:
        """Take a free port; ``folder`` gets the certificate."""
        self.issuer = issuer
        self.asked: list[str] = []
        self.answers: dict[str, tuple[int, bytes]] = {}
        """Answers instead of the usual ones, by path."""
        self.trickle = False
        """Whether answers come one byte after the other and never end."""
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.path)
                status, body = server.answer(self.path)
                self.send_response(status)
                self.send_header("Location", server.url)
                self.end_headers()
                self.wfile.write(body)
                while server.trickle:
                    time.sleep(0.05)
                    self.wfile.write(b" ")

            @override
            def log_message(self, format: str, *args: object) -> None:
                pass

        self.certificate, key = certificate(folder)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign] # clients that close the connection
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://localhost:{self._server.server_port}/tenant"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def answer(self, path: str) -> tuple[int, bytes]:
        """Return the status and the body of the answer to a request."""
        usual: dict[str, Any] = {DISCOVERY: {"issuer": self.url, "jwks_uri": f"{self.url}/keys?all=1"}}
        if path in self.answers:
            return self.answers[path]
        if path in usual:
            return 200, json.dumps(usual[path]).encode()
        return (200, self.issuer.jwks.read_bytes()) if path == "/tenant/keys?all=1" else (404, b"")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.trickle = False
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
