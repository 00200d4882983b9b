"""A test kit: a development server for tests, accounts, its clock and its faults.

``server()`` starts one, and stops it at the end of a ``with`` block. pytest finds the fixtures of
``strongroom.testing.pytest_plugin`` by itself once strongroom is installed; ``StrongroomTestCase`` is for unittest.
Clients are made with boto3, which is only needed where one is asked for: ``pip install 'strongroom[testing]'``.
"""

from strongroom.testing.accounts import Account
from strongroom.testing.clock import Clock
from strongroom.testing.control import ControlError
from strongroom.testing.faults import Faults
from strongroom.testing.process import StartError
from strongroom.testing.server import Server, server
from strongroom.testing.unittest_case import StrongroomTestCase

__all__ = ["Account", "Clock", "ControlError", "Faults", "Server", "StartError", "StrongroomTestCase", "server"]
