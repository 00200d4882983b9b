"""``strongroom xks-proxy serve`` as a process, and a client of it over a real socket."""

import http.client
import json
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from botocore.credentials import Credentials

from accounts import succeed
from clients import client_of
from local_server import RunningServer
from xks_calls import PREFIX, XksReply, policy, signed_request

ACCOUNT = "000000000000"
KEYS = {
    "foo": (),
    "encrypt_only_key": ("--usage", "encrypt"),
    "decrypt_only_key": ("--usage", "decrypt"),
    "impotent_key": ("--usage", "none"),
}
STOPPING = 120


class RunningProxy:
    """A proxy process and its URL, without a slash at the end."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process = process
        self.url = url

    @property
    def address(self) -> str:
        """Host and port."""
        return self.url.partition("://")[2]

    def stop(self) -> int:
        """Ask the proxy to stop (SIGTERM) and return its exit code."""
        self.process.terminate()
        return self.process.wait(STOPPING)


def serve_command(data: Path, *options: str) -> list[str]:
    """Return the command of a proxy on a free loopback port."""
    command = [sys.executable, "-m", "strongroom", "xks-proxy", "serve", "--data", str(data)]
    return [*command, "--listen", "127.0.0.1:0", *options]


@contextmanager
def running_proxy(data: Path, log: Path, *options: str) -> Iterator[RunningProxy]:
    """Serve the proxies of a data folder until the block ends; the log goes to a file."""
    with (
        log.open("w") as errors,
        subprocess.Popen(
            serve_command(data, *options),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            # On a machine that is busy with other tests, a call may have to wait longer than usual.
            env={**os.environ, "STRONGROOM_XKS_DEADLINE": "10"},
        ) as process,
    ):
        try:
            line = "" if process.stdout is None else process.stdout.readline()
            assert " serves XKS proxies at " in line, log.read_text()
            yield RunningProxy(process, line.split()[-1])
        finally:
            if process.poll() is None:
                process.kill()


def make_proxy(server: RunningServer, data: Path, prefix: str = PREFIX) -> str:
    """Make a proxy with one credential and the keys of the official client, by commands; return the id of the key."""
    key_id = client_of(server).create_key(Policy=policy())["KeyMetadata"]["KeyId"]
    succeed(data, "xks-proxy", "add", prefix, "--account", ACCOUNT, "--region", "us-east-1")
    succeed(data, "xks-proxy", "credential", "add", prefix)
    for external_id, options in KEYS.items():
        succeed(data, "xks-proxy", "key", "add", prefix, external_id, key_id, *options)
    return key_id


def exported(data: Path, *options: str, prefix: str = PREFIX) -> Credentials:
    """Return a credential that ``strongroom xks-proxy export`` prints."""
    document = json.loads(succeed(data, "xks-proxy", "export", prefix, *options))
    found = document["XksProxyAuthenticationCredential"]
    return Credentials(found["AccessKeyId"], found["RawSecretAccessKey"])


class XksClient(msgspec.Struct):
    """Calls a proxy as KMS does. ``context`` is that of TLS, with a client certificate where one is needed."""

    proxy: RunningProxy
    credentials: Credentials
    context: ssl.SSLContext | None = None

    def call(
        self,
        path: str,
        body: dict[str, Any] | bytes,
        *,
        credentials: Credentials | None = None,
        prefix: str = PREFIX,
        method: str = "POST",
    ) -> XksReply:
        """Send a call on a new connection."""
        with closing(self.connection()) as connection:
            return self.call_on(connection, path, body, credentials=credentials, prefix=prefix, method=method)

    def call_on(
        self,
        connection: http.client.HTTPConnection,
        path: str,
        body: dict[str, Any] | bytes,
        *,
        credentials: Credentials | None = None,
        prefix: str = PREFIX,
        method: str = "POST",
    ) -> XksReply:
        """Send a call on a connection that stays open."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        target = f"/{prefix}/kms/xks/v1/{path}"
        now = datetime.now(UTC)  # noqa: TID251 - a client
        signed = signed_request(self.proxy.url + target, raw, credentials or self.credentials, now, method=method)
        connection.request(method, target, raw, dict(signed.headers.items()))
        response = connection.getresponse()
        text = response.read()
        assert response.headers["Content-Type"] == ("application/json" if text else "text/plain")
        # The official client wants the body compact, and on the last line.
        assert b"\n" not in text
        return XksReply(response.status, json.loads(text or b"{}"))

    def connection(self) -> http.client.HTTPConnection:
        """Open a connection."""
        if self.context is None:
            return http.client.HTTPConnection(self.proxy.address, timeout=120)
        return http.client.HTTPSConnection(self.proxy.address, timeout=120, context=self.context)
