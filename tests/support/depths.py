"""Runs the conformance tests with what protects key material elsewhere: ``--key-protection`` and ``--token``.

Each pytest process makes a token of its own, and all servers and commands that its tests start use it. A test that is
refused because the token cannot keep keys of a spec is skipped: which specs these are is tested for each token.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

import nss
import softhsm

PROTECTIONS = ("software", "pkcs11-root", "pkcs11-full")
REFUSAL = re.compile(r"The hardware security module (keeps no keys|cannot import)[^:]*")
_folder = pytest.StashKey[Path]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    parser.addoption("--key-protection", choices=PROTECTIONS, default="software", help="what protects key material")
    parser.addoption("--token", choices=("softhsm", "nss"), default="softhsm", help="the token that does so")


def pytest_configure(config: pytest.Config) -> None:
    """Make a token, and have servers use it."""
    protection = config.getoption("key_protection")
    if protection == "software":
        return
    folder = config.stash[_folder] = Path(tempfile.mkdtemp(prefix="strongroom-token-"))
    if config.getoption("token") == "softhsm":
        os.environ.update(softhsm.new_token(folder))
        os.environ.update(softhsm.token_settings(folder))
    else:
        os.environ.update(nss.token_settings(folder))
    os.environ["STRONGROOM_KEY_PROTECTION"] = protection


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the token."""
    folder = config.stash.get(_folder, None)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Skip a test that needs what the token does not have."""
    report = yield
    error = None if call.excinfo is None else call.excinfo.value
    if report.failed and _folder in item.config.stash and error is not None:
        refused = REFUSAL.search(str(error))
        if refused is not None:
            path, line, _ = item.location
            report.outcome = "skipped"
            report.longrepr = (path, (line or 0) + 1, f"Skipped: {refused[0]}")
    return report
