"""A server without file descriptors, or memory for threads: calls fail with typed errors, and nothing is lost."""

import itertools
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from fast_client import CallRefused, FastClient, NoAnswer
from ledger import Ledger
from ledger_check import Check, unrecorded
from ledger_load import LedgerLoad
from local_server import RunningServer, running_server
from server_processes import PATIENCE
from starved_server import without_descriptors, without_memory

STARVED = 2.0
"""How long a resource is missing, seconds."""
EXPECTED = {"KMSInternalException", "DependencyTimeoutException", "ThrottlingException", "ServiceUnavailable"}
Fault = Callable[[RunningServer], AbstractContextManager[None]]


@pytest.mark.parametrize("fault", [without_descriptors, without_memory])
def test_the_server_goes_on_when_the_resource_is_there_again(tmp_path: Path, fault: Fault) -> None:
    ledger, data, log = Ledger(), tmp_path / "data", tmp_path / "log"
    numbers = itertools.count(1)
    with running_server(data, log) as server:
        load = LedgerLoad(FastClient(server), ledger, numbers)
        load.live(next(numbers))
        refused: list[str] = []
        with fault(server):
            end = time.monotonic() + STARVED
            while time.monotonic() < end:
                try:
                    load.live(next(numbers))
                except CallRefused as error:
                    refused.append(error.code)
                except NoAnswer:
                    # A new connection cannot be accepted.
                    time.sleep(0.05)
        assert set(refused) <= EXPECTED
        recovered(server)
        load.live(next(numbers))
        load.close()
        assert Check(server, ledger).run() == []
        assert server.stop() == 0
    assert "Traceback" not in log.read_text()
    assert unrecorded(data, ledger) == []


def recovered(server: RunningServer) -> None:
    """Wait until the server answers on a new connection."""
    end = time.monotonic() + PATIENCE
    while True:
        client = FastClient(server)
        try:
            client("CreateKey")
        except (CallRefused, NoAnswer):
            assert time.monotonic() < end
            time.sleep(0.1)
        else:
            return
        finally:
            client.close()
