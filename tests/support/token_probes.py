"""Calls that need no hardware token, at a steady rate, from a process of their own: only the server delays them.

``token_probes.py KEYS`` finds a server by its environment, makes calls until its standard input ends, and then prints
what it saw: a list of ``Sample``, JSON. ``KEYS`` is a ``ProbedKeys``, JSON. A call that is late counts from the moment
at which it should have been made.
"""

import base64
import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast

import msgspec

from child_processes import killed
from fast_client import CallRefused, NoAnswer
from local_server import Process, RunningServer
from timed_client import Sample, TimedClient

_PAUSE, _PAUSE_OF_WRITES = 0.02, 0.2
"""Seconds from one call of a stream to the next, unless calls take long."""
_PART = 0.25
"""For which part of the time a stream is to be busy, at most: a machine that is slow would make all calls late."""
_KEPT_ALIASES = 5
_WARM = 30
"""So many calls are made before the first that counts."""
_Call = tuple[str, dict[str, Any]]
"""The name of an operation, and a request."""
_TEXT = base64.b64encode(b"text").decode()


class ProbedKeys(msgspec.Struct):
    """Keys that the probes use and nothing else does.

    ``loaded`` is a symmetric key, or empty if using a key that is loaded needs the token; ``signer`` is one for P-256.
    """

    described: str
    signer: str
    loaded: str = ""


_Calls = Callable[[TimedClient, ProbedKeys], Iterator[_Call]]


class Probes:
    """A process that makes calls while a block runs; afterwards ``samples`` has them."""

    samples: list[Sample]

    @contextmanager
    def running(self, server: RunningServer, keys: ProbedKeys) -> Iterator[None]:
        """Make calls while the block runs."""
        environment = {**os.environ, **server.environment, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, __file__, msgspec.json.encode(keys).decode()]
        with (
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
            ) as process,
            killed(process),
        ):
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
    server = RunningServer(cast("Process", None), dict(os.environ))
    keys = msgspec.json.decode(sys.argv[1], type=ProbedKeys)
    # Of their own, so that calls which wait do not make others late.
    streams = [
        _Stream(server, _reads, keys, _PAUSE),
        _Stream(server, _public_key_calls, keys, _PAUSE),
        _Stream(server, _writes, keys, _PAUSE_OF_WRITES),
    ]
    ended = threading.Event()
    threads = [threading.Thread(target=each.run, args=(ended,)) for each in streams]
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for thread in threads:
        thread.start()
    sys.stdin.read()
    ended.set()
    for thread in threads:
        thread.join()
    sys.stdout.write(msgspec.json.encode([each for stream in streams for each in stream.samples]).decode())


class _Stream:
    """One client, which makes calls in turn."""

    def __init__(self, server: RunningServer, calls: _Calls, keys: ProbedKeys, pause: float) -> None:
        """Make some calls, so that the keys are loaded."""
        self._client = TimedClient(server)
        self._calls = calls(self._client, keys)
        begun = time.monotonic()
        for _ in range(_WARM):
            self._make()
        self._pause = max(pause, (time.monotonic() - begun) / _WARM / _PART)

    @property
    def samples(self) -> list[Sample]:
        return self._client.samples

    def run(self, ended: threading.Event) -> None:
        due = time.monotonic_ns()
        while not ended.wait(max(0.0, (due - time.monotonic_ns()) / 1e9)):
            self._make()
            self.samples[-1].begun = min(self.samples[-1].begun, due)
            due += int(self._pause * 1e9)
        self._client.close()

    def _make(self) -> None:
        operation, request = next(self._calls)
        with suppress(CallRefused, NoAnswer):
            answer = self._client(operation, **request)
            assert operation != "Decrypt" or answer["Plaintext"] == _TEXT
        self.samples[-1].alias, self.samples[-1].key_id = request.get("AliasName", ""), request.get("TargetKeyId")


def _reads(client: TimedClient, keys: ProbedKeys) -> Iterator[_Call]:
    """Yield calls that write nothing, and use no key or one that is loaded, without an end."""
    blob = client("Encrypt", KeyId=keys.loaded, Plaintext=_TEXT)["CiphertextBlob"] if keys.loaded else ""
    while True:
        yield "DescribeKey", {"KeyId": keys.described}
        yield "ListKeys", {"Limit": 100}
        yield "GetKeyPolicy", {"KeyId": keys.described}
        if blob:
            yield "Encrypt", {"KeyId": keys.loaded, "Plaintext": _TEXT}
            yield "Decrypt", {"CiphertextBlob": blob}


def _writes(_client: TimedClient, keys: ProbedKeys) -> Iterator[_Call]:
    """Yield calls that write, without an end. They wait for the disk, too."""
    for number in itertools.count():
        yield "CreateAlias", {"AliasName": f"alias/probe-{number}", "TargetKeyId": keys.described}
        if number >= _KEPT_ALIASES:
            yield "DeleteAlias", {"AliasName": f"alias/probe-{number - _KEPT_ALIASES}"}


def _public_key_calls(client: TimedClient, keys: ProbedKeys) -> Iterator[_Call]:
    """Yield calls that need the public half of a key alone, without an end."""
    message = {"KeyId": keys.signer, "Message": _TEXT, "SigningAlgorithm": "ECDSA_SHA_256"}
    signature = client("Sign", **message)["Signature"]
    while True:
        yield "GetPublicKey", {"KeyId": keys.signer}
        yield "Verify", {**message, "Signature": signature}


if __name__ == "__main__":
    main()
