"""Servers whose keys depend on SoftHSM through a module that fails on command, and what their calls meet then."""

import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_server import RunningServer
from softhsm import FaultyModule, new_token, token_settings


def use_faulty_module(folder: Path, monkeypatch: pytest.MonkeyPatch, protection: str = "pkcs11-root") -> FaultyModule:
    """Make a token and a module in a folder, which all commands and servers of a test use from then on."""
    module = FaultyModule(folder)
    settings = token_settings(folder, module.path, protection)
    regions = {"STRONGROOM_REGIONS": "us-east-1,eu-west-1"}
    for name, value in {**new_token(folder), **module.environment, **settings, **regions}.items():
        monkeypatch.setenv(name, value)
    return module


def error_of(call: Any, **members: object) -> tuple[str, float]:
    """Return the code of the error that a call is answered with, and how many seconds that took."""
    begun = time.monotonic()
    with pytest.raises(ClientError) as caught:
        call(**members)
    assert "strongroom-test" not in str(caught.value)
    return caught.value.response["Error"]["Code"], time.monotonic() - begun


def readiness(server: RunningServer) -> str:
    """Return what a server that is ready says of its health; raises OSError for one that is not."""
    with urllib.request.urlopen(f"{server.endpoint}/readyz", timeout=120) as answer:  # noqa: S310 - loopback, over HTTP
        return str(answer.read(), "utf-8")
