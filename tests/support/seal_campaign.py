"""Kills ``strongroom seal add``, ``rotate`` and ``remove`` at random moments, and looks at what is left.

After each kill the folder must open with what is there, with its key, and every seal in it must open. After the next
command nothing of the interrupted one may be left: no draft, no key file that no seal has, no second document.
"""

import json
import os
import signal
import sys
import time
from contextlib import closing
from pathlib import Path

import warm_commands
from campaign import Random, Tally
from child_processes import KillTimes, timed
from local_deployment import LocalDeployment
from strongroom.clock import ManualClock

_ADD = ("add", "safe", "passphrase", "--new-passphrase-file")


class SealCampaign:
    """One data folder, and the changes of its seals that are killed."""

    def __init__(self, folder: Path, choose: Random) -> None:
        self.data = folder / "data"
        self._choose = choose
        self._passphrase = folder / "passphrase"
        self._passphrase.write_text("correct horse battery staple\n")
        self._environment = {"STRONGROOM_SEAL_PASSPHRASE_FILE": str(self._passphrase)}
        local = LocalDeployment(self.data, ManualClock(time.time()))  # noqa: TID251 - commands have the real clock
        with closing(local.deployment):
            self.key_id = local.call("CreateKey")["KeyMetadata"]["KeyId"]
        self._times: dict[str, KillTimes] = {}
        self._tally = Tally("`kill -9` of `seal add`, `rotate`, `remove`")

    def run(self, rounds: int) -> Tally:
        """Kill so many commands of each kind; raises AssertionError if one left something that it must not."""
        for _ in range(rounds):
            self._round("add", (*_ADD, str(self._passphrase)), undo=("remove", "safe"))
            self._round("rotate", ("rotate",))
            self._seal(*_ADD, str(self._passphrase))
            self._round("remove", ("remove", "file"), undo=("add", "file", "file"))
            if "safe" in self._names() and "file" in self._names():
                self._seal("remove", "safe")
        return self._tally

    def _round(self, name: str, command: tuple[str, ...], undo: tuple[str, ...] | None = None) -> None:
        before = self._names()
        times = self._times.get(name)
        if times is None:
            # The first one is measured, and not killed.
            self._times[name] = timed(self._command(*command), self._whole_environment())
        else:
            code = times.kill(self._choose.uniform(0.3, 1.1), self._command(*command), self._whole_environment())
            self._tally.injected += 1
            self._tally.acknowledged += 1
            self._tally.outcomes[f"{name} {'killed' if code == -signal.SIGKILL else 'done before'}"] += 1
        self._require_open()
        changed = self._names() != before
        if changed and undo is not None:
            self._seal(*undo)
        else:
            # Any command finishes or undoes what was interrupted.
            self._seal("rotate")
        self._require_nothing_left()

    def _require_open(self) -> None:
        """Require that the folder opens, that its key is there and its material loads, and that all seals open."""
        checked = warm_commands.command("doctor", "--json", "--data", str(self.data), environment=self._environment)
        checks = {each["check"]: each for each in json.loads(checked.stdout)["checks"]}
        # A warning says that there is one seal only.
        assert checks["root-key"]["status"] in {"ok", "warning"}, checks["root-key"]
        assert checks["records"]["status"] == "ok", checks["records"]
        assert "material of 1 key opens" in checks["records"]["text"], checks["records"]
        trials = json.loads(self._seal("test", "--json"))
        assert all(each["outcome"] == "opens" for each in trials), trials

    def _require_nothing_left(self) -> None:
        document = json.loads((self.data / "seal.json").read_text())
        used = {each["parameters"]["file"] for each in document["entries"] if each["kind"] == "file"}
        found = {each.name for each in self.data.iterdir() if each.name.startswith(("root", "seal"))}
        assert found == used | {"seal.json"}, found

    def _names(self) -> list[str]:
        return [each["name"] for each in json.loads(self._seal("status", "--json"))["seals"]]

    def _seal(self, *command: str) -> str:
        done = warm_commands.command("seal", *command, "--data", str(self.data), environment=self._environment)
        assert done.returncode == 0, f"seal {' '.join(command)}: {done.stderr}"
        return done.stdout

    def _whole_environment(self) -> dict[str, str]:
        return {**os.environ, **self._environment}

    def _command(self, *command: str) -> list[str]:
        return [sys.executable, "-m", "strongroom", "seal", *command, "--data", str(self.data)]
