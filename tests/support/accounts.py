"""A server's data folder, the ``strongroom`` commands that work on it, and accounts created by them."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import warm_commands
from audits import last_audit_record
from clients import client_with, credentials_of
from identities import Identities
from local_server import RunningServer

settings_of: dict[Path, Mapping[str, str]] = {}
"""A data folder whose state is elsewhere → the environment of commands that work on it."""


def data_of(server: RunningServer) -> Path:
    """Return the server's data folder."""
    return Path(server.environment["AWS_SHARED_CREDENTIALS_FILE"]).parent


def last_record(server: RunningServer) -> dict[str, Any]:
    """Return the last record of the audit log."""
    return last_audit_record(data_of(server))


def strongroom(data: Path, *arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``strongroom`` with a data folder, as an administrator does, in a folder: by default, the current one.

    It runs in a fork of a process that has loaded its modules, where that is the same as a process of its own.
    """
    settings = settings_of.get(data, {})
    environment = {**os.environ, **settings}
    if warm_commands.can_run(environment):
        return warm_commands.command(*arguments, "--data", str(data), environment=settings, folder=folder)
    command = [sys.executable, "-m", "strongroom", *arguments, "--data", str(data)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=180, cwd=folder, env=environment
    )


def succeed(data: Path, *arguments: str) -> str:
    """Run a ``strongroom`` command that must succeed; return its standard output."""
    done = strongroom(data, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Account:
    """An account created while the server runs, and clients that use its root access key."""

    def __init__(self, server: RunningServer, account: str) -> None:
        succeed(data_of(server), "account", "create", account)
        keys = credentials_of(server, account)
        self.account = account
        self.root = f"arn:aws:iam::{account}:root"
        self.kms = client_with(server, "kms", keys)
        self.iam = client_with(server, "iam", keys)
        self.identities = Identities(server, self.iam)
