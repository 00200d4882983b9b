"""The fixtures for pytest. It loads them by itself where strongroom is installed.

With pytest-xdist each worker has a server of its own.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from strongroom.testing.accounts import Account
from strongroom.testing.clock import Clock
from strongroom.testing.faults import Faults
from strongroom.testing.process import StartError
from strongroom.testing.server import Server, server


@pytest.fixture(scope="session")
def strongroom_options() -> Mapping[str, Any]:
    """Return the parameters of ``strongroom.testing.server``. Override this one to have other Regions, for example."""
    return {}


@pytest.fixture(scope="session")
def strongroom_server(strongroom_options: Mapping[str, Any]) -> Iterator[Server]:
    """Return a server, which is started for the first test that needs it and stopped after the last one."""
    running = server(**strongroom_options)
    try:
        started = running.__enter__()
    except StartError as error:
        pytest.fail(str(error), pytrace=False)
    try:
        yield started
    finally:
        running.__exit__(None, None, None)


@pytest.fixture
def strongroom_account(strongroom_server: Server) -> Account:
    """Return an account that is new, so that nothing of another test is in it."""
    return strongroom_server.create_account()


@pytest.fixture
def strongroom_environment(strongroom_account: Account) -> Iterator[Account]:
    """Have the AWS clients of this process act as the root user of the test's account, and return that account."""
    with strongroom_account.use():
        yield strongroom_account


@pytest.fixture
def strongroom_client(strongroom_account: Account) -> Callable[..., Any]:
    """Return what makes clients of boto3 for the test's account: ``strongroom_client("iam")``."""
    return strongroom_account.client


@pytest.fixture
def kms(strongroom_account: Account) -> Any:  # noqa: ANN401 - boto3 has no type for it without its stubs
    """Return a KMS client of boto3 that acts as the root user of the test's account."""
    return strongroom_account.client("kms")


@pytest.fixture
def strongroom_clock(strongroom_server: Server) -> Iterator[Clock]:
    """Return the clock of the server. It is set back after the test."""
    yield strongroom_server.clock
    strongroom_server.clock.reset()


@pytest.fixture
def strongroom_faults(strongroom_server: Server, strongroom_account: Account) -> Iterator[Faults]:
    """Return what injects faults into the calls of the test's account. They are cleared after the test."""
    faults = strongroom_server.faults_of(strongroom_account)
    yield faults
    faults.clear()
