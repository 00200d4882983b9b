"""Kills ``strongroom domain-keys rotate`` and ``destroy-old`` at random moments, and looks at what is left.

After each kill every key and secret must open, and what was encrypted before must decrypt. After the next command that
ends, nothing may need an older version, and none may be left.
"""

import base64
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from campaign import Random, Tally
from child_processes import KillTimes, timed
from local_deployment import LocalDeployment
from strongroom.clock import ManualClock
from strongroom.crypto.domain_keys import IAM_SCOPE

_KEYS = 150
_MOVE = 3.0
"""About how long, in seconds, a move takes."""
_COMMANDS = ("rotate", "destroy-old")


class DomainKeyCampaign:
    """One data folder with keys, and the commands on its domain keys that are killed."""

    def __init__(self, folder: Path, choose: Random, **settings: Any) -> None:
        """Make the keys in software; ``settings`` are those of all that runs after that."""
        self.data = folder / "data"
        self._choose = choose
        self._clock = ManualClock(time.time())  # noqa: TID251 - commands have the real clock
        local = LocalDeployment(self.data, self._clock)
        self._blobs: list[tuple[str, str]] = []
        with closing(local.deployment):
            for _ in range(_KEYS):
                key_id = local.call("CreateKey")["KeyMetadata"]["KeyId"]
                blob = local.call("Encrypt", KeyId=key_id, Plaintext=_plaintext(key_id))["CiphertextBlob"]
                self._blobs.append((key_id, blob))
        self._times: dict[str, KillTimes] = {}
        self._settings = settings
        where = f", `{settings['key_protection']}`" if settings else ""
        self._tally = Tally(f"`kill -9` of `domain-keys rotate`, `destroy-old`{where}")

    def run(self, rounds: int) -> Tally:
        """Kill so many commands of each kind; raises AssertionError if anything does not open afterwards."""
        if self._settings:
            # The first one moves the keys.
            self._times["rotate"] = KillTimes(_MOVE)
            self._round("rotate")
        for name in _COMMANDS:
            self._times[name] = timed(self._command(name), self._environment)
        for _ in range(rounds):
            for name in _COMMANDS:
                self._round(name)
        return self._tally

    def _round(self, name: str) -> None:
        code = self._times[name].kill(self._choose.uniform(0.3, 1.1), self._command(name), self._environment)
        self._tally.injected += 1
        self._tally.acknowledged += _KEYS
        self._tally.outcomes[f"{name} {'killed' if code == -signal.SIGKILL else 'done before'}"] += 1
        self._require_open()
        if name == "destroy-old":
            # It may have been done, or have nothing to do.
            self._domain_keys("destroy-old")
            found = json.loads(self._domain_keys("status", "--json"))
            assert all(not each["older"] for each in found), found
            self._require_open()
            if self._settings:
                # What a kill has left in the token is shown, and nothing that is needed is missing.
                command = [sys.executable, "-m", "strongroom", "hsm", "status", "--json", "--data", str(self.data)]
                status = json.loads(
                    subprocess.run(command, capture_output=True, check=True, env=self._environment).stdout
                )
                there = {each["region"]: each["version"] for each in status["domain_keys"] if each["there"]}
                assert there == {each["scope"]: each["version"] for each in found if each["scope"] != IAM_SCOPE}, status
                self._tally.outcomes["objects left"] = len(status["other_objects"])

    def _require_open(self) -> None:
        """Require that every record and key opens, and that a server decrypts what was encrypted at first."""
        command = [sys.executable, "-m", "strongroom", "doctor", "--json", "--data", str(self.data)]
        checked = subprocess.run(command, capture_output=True, text=True, check=False, env=self._environment)
        checks: dict[str, dict[str, Any]] = {each["check"]: each for each in json.loads(checked.stdout)["checks"]}
        # A warning says that there is one seal only.
        assert checks["root-key"]["status"] in {"ok", "warning"}, checks["root-key"]
        assert checks["records"]["status"] == "ok", checks["records"]
        local = LocalDeployment(self.data, self._clock, **self._settings)
        with closing(local.deployment):
            key_id, blob = self._choose.choice(self._blobs)
            assert local.call("Decrypt", CiphertextBlob=blob)["Plaintext"] == _plaintext(key_id)
            local.call("Encrypt", KeyId=key_id, Plaintext="eA==")

    def _domain_keys(self, *command: str) -> str:
        return subprocess.run(
            self._command(*command), capture_output=True, text=True, check=True, env=self._environment
        ).stdout

    @property
    def _environment(self) -> dict[str, str]:
        variables = {f"STRONGROOM_{name.upper()}": str(value) for name, value in self._settings.items()}
        return {**os.environ, **variables}

    def _command(self, *command: str) -> list[str]:
        return [sys.executable, "-m", "strongroom", "domain-keys", *command, "--data", str(self.data)]


def _plaintext(key_id: str) -> str:
    return base64.b64encode(key_id.encode()).decode()
