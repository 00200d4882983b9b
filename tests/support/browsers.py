"""A web page on a loopback port, opened in headless Chromium, that calls a server from another origin."""

import json
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from typing_extensions import override

from programs import program

PAGE = Path(__file__).parents[1] / "conformance" / "browser" / "page.html"
PATIENCE = 120.0

Call = dict[str, str]
"""What the page signs and sends: endpoint, service, target, contentType, body, accessKeyId, secretAccessKey."""


class Page:
    """A page with an origin of its own, and a browser for it."""

    def __init__(self) -> None:
        self._calls: Sequence[Call] = ()
        self._results: queue.Queue[list[dict[str, Any]]] = queue.Queue()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    @property
    def origin(self) -> str:
        """The origin of the page, as the browser sends it."""
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def results_of(self, calls: Sequence[Call], profile: Path) -> list[dict[str, Any]]:
        """Open the page, let it make calls, and return what it could read of each answer.

        ``profile`` is a folder for the browser. A page here has no secrets of others, so the browser needs no sandbox,
        which the superuser cannot have.
        """
        self._calls = calls
        flags = ["--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={profile}"]
        command = [program("chromium-headless-shell", "chromium-headless-shell"), *flags, "--remote-debugging-port=0"]
        # In a process group of its own: the command is a script around the browser, which would outlive it.
        with subprocess.Popen(
            [*command, f"{self.origin}/"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        ) as browser:
            try:
                return self._results.get(timeout=PATIENCE)
            finally:
                os.killpg(browser.pid, signal.SIGTERM)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        page = self

        class Handler(BaseHTTPRequestHandler):
            """Serves the page and the calls it is to make, and takes its results."""

            def do_GET(self) -> None:
                if self.path == "/calls":
                    self._answer("application/json", json.dumps(page._calls).encode())
                else:
                    self._answer("text/html", PAGE.read_bytes())

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self._answer("text/plain", b"")
                page._results.put(json.loads(body))

            def _answer(self, content_type: str, body: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            @override
            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler


@contextmanager
def served_page() -> Iterator[Page]:
    """Serve a page on a free loopback port."""
    page = Page()
    thread = threading.Thread(target=page.server.serve_forever)
    thread.start()
    try:
        yield page
    finally:
        page.server.shutdown()
        thread.join()
        page.server.server_close()
