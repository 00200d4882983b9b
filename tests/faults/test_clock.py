"""A real server whose wall clock is set while it runs: forward and back, across restarts, with several workers."""

import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError
from mypy_boto3_kms import KMSClient

from fake_clock import FakeClock
from local_server import RunningServer
from server_processes import wait_until

DAY = 86_400
MONTH = 31 * DAY
OPTIONS = ("--metrics-listen", "127.0.0.1:0")


@pytest.fixture
def clock(tmp_path: Path) -> FakeClock:
    return FakeClock(tmp_path / "clock")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "strongroom.toml").write_text("keeper-interval = 0.2\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "data"
