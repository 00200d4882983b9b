"""The test kit for unittest."""

import atexit
import functools
import unittest
from typing import Any, ClassVar

from typing_extensions import override

from strongroom.testing.accounts import Account
from strongroom.testing.clock import Clock
from strongroom.testing.faults import Faults
from strongroom.testing.process import StartError
from strongroom.testing.server import Server, start


class StrongroomTestCase(unittest.TestCase):
    """A test case whose tests each have an account of their own, as which the AWS clients of the process act.

    All classes share a server, which runs until the process ends. A class that has another one sets ``strongroom`` in
    its ``setUpClass``, before it calls this one's.
    """

    strongroom: ClassVar[Server | None] = None
    server: Server
    """The server."""
    account: Account
    """The test's account."""
    faults: Faults
    """Injects faults into the calls of the test's account. They are cleared after the test."""

    @override
    def setUp(self) -> None:
        super().setUp()
        try:
            self.server = self.strongroom or _shared()
        except StartError as error:
            self.fail(str(error))
        self.account = self.server.create_account()
        self.enterContext(self.account.use())
        self.faults = self.server.faults_of(self.account)
        self.addCleanup(self.faults.clear)

    @functools.cached_property
    def kms(self) -> Any:  # noqa: ANN401 - boto3 has no type for it without its stubs
        """A KMS client of boto3 that acts as the root user of the test's account."""
        client = self.account.client("kms")
        self.addCleanup(client.close)
        return client

    @functools.cached_property
    def clock(self) -> Clock:
        """The clock of the server. It is set back after the test."""
        self.addCleanup(self.server.clock.reset)
        return self.server.clock


@functools.cache
def _shared() -> Server:
    """Return the server of all classes, which is started by the first test."""
    found = start()
    atexit.register(found.close)
    return found
