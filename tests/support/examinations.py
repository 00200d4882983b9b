"""Runs ``strongroom doctor`` on a data folder, and reads what it prints."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec


class Examination(msgspec.Struct):
    """What a run has printed as JSON, and its exit code."""

    exit_code: int
    document: dict[str, Any]

    def status(self, check: str) -> str:
        """Return the status of a check."""
        return str(self._result(check)["status"])

    def told(self, check: str) -> str:
        """Return what a check says, with what to do."""
        found = self._result(check)
        return " | ".join([found["text"], *found["remedies"]])

    @property
    def wrong(self) -> dict[str, str]:
        """What every check says that is not in order."""
        return {each["check"]: each["text"] for each in self.document["checks"] if each["status"] != "ok"}

    def _result(self, check: str) -> dict[str, Any]:
        (found,) = [each for each in self.document["checks"] if each["check"] == check]
        return dict(found)


def run_doctor(data: Path | None, *options: str) -> subprocess.CompletedProcess[str]:
    """Run ``strongroom doctor``, which must not write anything on standard error."""
    named = () if data is None else ("--data", str(data))
    command = [sys.executable, "-m", "strongroom", "doctor", *options, *named]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert not done.stderr, done.stderr
    return done


def examine(data: Path | None, *options: str) -> Examination:
    """Run ``strongroom doctor --json``; return what it has found."""
    done = run_doctor(data, "--json", *options)
    return Examination(done.returncode, json.loads(done.stdout))
