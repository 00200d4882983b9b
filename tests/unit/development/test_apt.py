"""tools/apt: test processes that need packages at the same time take turns."""

import os
import subprocess
from pathlib import Path

import pytest

from programs import APT

APT_GET = """#!/bin/sh
mkdir "{folder}/busy" || exit 1
sleep 0.2
rmdir "{folder}/busy"
echo "$@" >> "{folder}/calls"
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="another user needs sudo, which does not keep PATH")
def test_installations_that_begin_together_all_succeed(tmp_path: Path) -> None:
    command = tmp_path / "apt-get"
    command.write_text(APT_GET.format(folder=tmp_path))
    command.chmod(0o700)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    running = [subprocess.Popen([APT, name], env=environment, stderr=subprocess.PIPE) for name in ("one", "two")]
    assert [(process.communicate()[1], process.returncode) for process in running] == [(b"", 0), (b"", 0)]
    calls = (tmp_path / "calls").read_text().splitlines()
    # Neither had to update the lists of packages and try again.
    assert sorted(call.rpartition(" ")[2] for call in calls) == ["one", "two"]
    assert all("DPkg::Lock::Timeout=" in call for call in calls)
