"""Calls that need no hardware token, at a steady rate, from a process of their own: only the server delays them.

``token_probes.py KEYS`` finds a server by its environment, makes calls until its standard input ends, and then prints
what it saw: a list of ``Sample``, JSON. ``KEYS`` is a ``ProbedKeys``, JSON. A call that is late counts from the moment
at which it should have been made.
"""

import base64
import itertools
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast

import msgspec

from fast_client import CallRefused, NoAnswer
from local_server import Process, RunningServer
from timed_client import Sample, TimedClient

_PAUSE = 0.01
"""Seconds from one call to the next."""
_KEPT_ALIASES = 5
_WARM = 30
"""So many calls are made before the first that counts."""
_TEXT = base64.b64encode(b"text").decode()


class ProbedKeys(msgspec.Struct):
    """Keys that the probes use and nothing else does.

    ``loaded`` is a symmetric key, or empty if using a key that is loaded needs the token; ``signer`` is one for P-256.
    """

    described: str
    signer: str
    loaded: str = ""


class Probes:
    """A process that makes calls while a block runs; afterwards ``samples`` has them."""

    samples: list[Sample]

    @contextmanager
    def running(self, server: RunningServer, keys: ProbedKeys) -> Iterator[None]:
        """Make calls while the block runs."""
        environment = {**os.environ, **server.environment, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, __file__, msgspec.json.encode(keys).decode()]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            try:
                yield
            finally:
                output, _ = process.communicate()
            self.samples = msgspec.json.decode(output, type=list[Sample])


def main() -> None:
    """Make calls until the standard input ends."""
    # Its process belongs to the one that started it.
    client = TimedClient(RunningServer(cast("Process", None), dict(os.environ)))
    calls = _calls(client, msgspec.json.decode(sys.argv[1], type=ProbedKeys))
    for _ in range(_WARM):
        _make(client, *next(calls))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    due = time.monotonic_ns()
    while not select.select([sys.stdin], [], [], max(0.0, (due - time.monotonic_ns()) / 1e9))[0]:
        _make(client, *next(calls))
        client.samples[-1].begun = min(client.samples[-1].begun, due)
        due += int(_PAUSE * 1e9)
    client.close()
    sys.stdout.write(msgspec.json.encode(client.samples).decode())


def _make(client: TimedClient, operation: str, request: dict[str, Any]) -> None:
    with suppress(CallRefused, NoAnswer):
        answer = client(operation, **request)
        assert operation != "Decrypt" or answer["Plaintext"] == _TEXT
    client.samples[-1].alias, client.samples[-1].key_id = request.get("AliasName", ""), request.get("TargetKeyId")


def _calls(client: TimedClient, keys: ProbedKeys) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield operations and requests, without an end."""
    message = {"KeyId": keys.signer, "Message": _TEXT, "SigningAlgorithm": "ECDSA_SHA_256"}
    signature = client("Sign", **message)["Signature"]
    blob = client("Encrypt", KeyId=keys.loaded, Plaintext=_TEXT)["CiphertextBlob"] if keys.loaded else ""
    for number in itertools.count():
        alias = f"alias/probe-{number}"
        yield "DescribeKey", {"KeyId": keys.described}
        yield "ListKeys", {"Limit": 100}
        yield "GetKeyPolicy", {"KeyId": keys.described}
        yield "GetPublicKey", {"KeyId": keys.signer}
        yield "Verify", {**message, "Signature": signature}
        yield "CreateAlias", {"AliasName": alias, "TargetKeyId": keys.described}
        if number >= _KEPT_ALIASES:
            yield "DeleteAlias", {"AliasName": f"alias/probe-{number - _KEPT_ALIASES}"}
        if blob:
            yield "Encrypt", {"KeyId": keys.loaded, "Plaintext": _TEXT}
            yield "Decrypt", {"CiphertextBlob": blob}


if __name__ == "__main__":
    main()
