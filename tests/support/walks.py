"""Follows requests through a server: ``python walks.py FOLDER`` prints the source files that each passes, in order.

A process of its own, because what other tests have left in caches would shorten the way.
"""

import asyncio
import json
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import uvloop

import strongroom
from direct_client import DirectClient
from local_deployment import LocalDeployment
from loopback_server import loopback_server
from strongroom.clock import ManualClock
from strongroom.http.connection import Limits

_SOURCE = f"{Path(strongroom.__file__).parent}/"
_OF_TESTS = frozenset({"clock.py"})
"""The clock of a test is a class of the product; that of a server is the system's own function."""
_PAUSE = 0.05

Calls = Mapping[str, Mapping[str, object]]


class Walk:
    """Notes each source file of the product when one of its functions is called for the first time."""

    def __init__(self) -> None:
        self._files: dict[str, None] = {}
        self._on = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the calls of this thread, and of threads that are started meanwhile."""
        before = sys.getprofile()
        threading.setprofile(self._note)
        sys.setprofile(self._note)
        try:
            yield
        finally:
            sys.setprofile(before)
            threading.setprofile(before)

    def begin(self) -> None:
        """Forget what was noted so far."""
        self._files.clear()
        self._on = True

    def end(self) -> list[str]:
        """Return the files since ``begin``, such as ``api/sigv4.py``, in the order of their first calls."""
        self._on = False
        return [*self._files]

    def _note(self, frame: FrameType, event: str, _arg: object) -> None:
        code = frame.f_code
        if not self._on or event != "call" or code.co_name == "<module>":
            return
        file = code.co_filename
        if file.startswith(_SOURCE):
            name = file.removeprefix(_SOURCE)
            if name not in _OF_TESTS:
                self._files.setdefault(name)


def walks_of(client: DirectClient, warm_up: Calls, calls: Calls) -> dict[str, list[str]]:
    """Return, for each operation, the files that its request passes from the socket to the reply."""
    walk = Walk()
    found: dict[str, list[str]] = {}

    async def run() -> None:
        async with loopback_server(client, Limits()) as loopback:
            for _ in range(2):
                for operation, body in warm_up.items():
                    assert await loopback.call(operation, **body) == 200
            for operation, body in calls.items():
                request = loopback.request(operation, **body)
                reader, writer = await loopback.connected()
                # Accepting the connection is over when the request is sent.
                await asyncio.sleep(_PAUSE)
                walk.begin()
                writer.write(request)
                line = await reader.readline()
                found[operation] = walk.end()
                writer.close()
                assert b" 200 " in line, line

    with walk.watching(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
    return found


def main(folder: Path) -> None:
    """Print the walks of three operations, in a server that has answered the same Encrypt before."""
    local = LocalDeployment(folder, ManualClock(1_790_000_000.0))
    key_id = local.call("CreateKey")["KeyMetadata"]["KeyId"]
    policy = local.call("GetKeyPolicy", KeyId=key_id, PolicyName="default")["Policy"]
    encrypt = {"KeyId": key_id, "Plaintext": "aGVsbG8="}
    grantee = "arn:aws:iam::000000000000:root"
    calls = {
        "Encrypt": encrypt,
        "PutKeyPolicy": {"KeyId": key_id, "PolicyName": "default", "Policy": policy},
        "CreateGrant": {"KeyId": key_id, "GranteePrincipal": grantee, "Operations": ["Encrypt"]},
    }
    found = walks_of(DirectClient(local), {"Encrypt": encrypt}, calls)
    local.deployment.close()
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
