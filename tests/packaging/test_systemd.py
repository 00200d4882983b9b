"""systemd accepts the unit, finds little to attack, and gives a stop the time that it takes."""

import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest

from built_wheel import ROOT
from programs import program
from strongroom.settings import Settings
from strongroom.supervisor.supervisor import longest_stop

UNIT = ROOT / "deploy" / "systemd" / "strongroom.service"
MOST_EXPOSED = "12"
"""In tenths, from 0 to 100: `systemd-analyze security` calls up to 20 "OK"."""


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with the command of this environment in the place of the one in /opt."""
    text = UNIT.read_text(encoding="utf-8")
    assert "ExecStart=/opt/strongroom/bin/strongroom serve" in text
    copy = tmp_path / UNIT.name
    copy.write_text(text.replace("/opt/strongroom/bin/strongroom", str(Path(sys.executable).with_name("strongroom"))))
    return copy


def analyze(*arguments: str | Path) -> str:
    """Run systemd-analyze(1); return what it says. Raises CalledProcessError if it finds fault."""
    command = [program("systemd-analyze", "systemd"), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stderr


def test_systemd_understands_every_line(unit: Path) -> None:
    # It also tells of units of this machine.
    assert [line for line in analyze("verify", "--man=no", unit).splitlines() if unit.stem in line] == []


def test_systemd_would_tell_of_a_line_that_it_does_not_understand(unit: Path) -> None:
    unit.write_text(unit.read_text().replace("UMask=0077", "UMask=0077\nNonsense=yes"))
    assert unit.stem in analyze("verify", "--man=no", unit)


def test_the_first_destination_of_the_documentation_of_events_can_be_written() -> None:
    folder = re.search(r'to = "file:/var/log/(\S+)/', (ROOT / "docs" / "events.md").read_text())
    assert folder is not None
    assert f"\nLogsDirectory={folder[1]}\nLogsDirectoryMode=0700\n" in UNIT.read_text()


def test_the_unit_is_hardened(unit: Path) -> None:
    analyze("security", "--offline=true", f"--threshold={MOST_EXPOSED}", unit)
    with pytest.raises(subprocess.CalledProcessError):
        analyze("security", "--offline=true", "--threshold=1", unit)


def test_a_stop_has_more_time_than_the_server_takes() -> None:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    assert parser.getint("Service", "TimeoutStopSec") > longest_stop(Settings().drain)
    assert parser.getint("Service", "WatchdogSec") > 2 * Settings().worker_timeout - 1
