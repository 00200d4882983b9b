"""systemd accepts the units, finds little to attack, and gives a stop the time that it takes; the backup is made."""

import configparser
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from built_wheel import ROOT
from local_server import running_server
from programs import program
from strongroom.settings import Settings
from strongroom.supervisor.supervisor import longest_stop

UNITS = ROOT / "deploy" / "systemd"
UNIT = UNITS / "strongroom.service"
BACKUP = UNITS / "strongroom-backup.service"
SERVICES = sorted(UNITS.glob("*.service"))
INSTALLED = "/opt/strongroom/bin/strongroom"
COMMAND = str(Path(sys.executable).with_name("strongroom"))
MOST_EXPOSED = "12"
"""In tenths, from 0 to 100: `systemd-analyze security` calls up to 20 "OK"."""
OF_THE_SERVER = {"LimitMEMLOCK", "LimitNOFILE", "RemoveIPC"}
"""What confines the server alone: no other unit locks its memory, has connections, or is the last one of its user."""


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """A folder with the units, which have the command of this environment in the place of the one in /opt."""
    folder = tmp_path / "units"
    folder.mkdir()
    for each in (*UNITS.glob("*.service"), *UNITS.glob("*.timer")):
        text = each.read_text(encoding="utf-8")
        assert each.suffix == ".timer" or f"\nExecStart={INSTALLED} " in text
        (folder / each.name).write_text(text.replace(INSTALLED, COMMAND))
    return folder


def analyze(*arguments: str | Path) -> str:
    """Run systemd-analyze(1); return what it says. Raises CalledProcessError if it finds fault."""
    command = [program("systemd-analyze", "systemd"), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stderr


def read(unit: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(unit)
    return parser


def test_systemd_understands_every_line(units: Path) -> None:
    # It also tells of units of this machine.
    said = analyze("verify", "--man=no", *sorted(units.iterdir())).splitlines()
    assert [line for line in said if "strongroom" in line] == []


@pytest.mark.parametrize("name", ["strongroom.service", "strongroom-backup.service", "strongroom-backup.timer"])
def test_systemd_would_tell_of_a_line_that_it_does_not_understand(units: Path, name: str) -> None:
    unit = units / name
    unit.write_text(re.sub(r"^\[(Service|Timer)\]$", r"[\1]\nNonsense=yes", unit.read_text(), flags=re.MULTILINE))
    assert name in analyze("verify", "--man=no", unit)


def test_the_first_destination_of_the_documentation_of_events_can_be_written() -> None:
    folder = re.search(r'to = "file:/var/log/(\S+)/', (ROOT / "docs" / "events.md").read_text())
    assert folder is not None
    assert f"\nLogsDirectory={folder[1]}\nLogsDirectoryMode=0700\n" in UNIT.read_text()


@pytest.mark.parametrize("name", [each.name for each in SERVICES])
def test_the_units_are_hardened(units: Path, name: str) -> None:
    analyze("security", "--offline=true", f"--threshold={MOST_EXPOSED}", units / name)
    with pytest.raises(subprocess.CalledProcessError):
        analyze("security", "--offline=true", "--threshold=1", units / name)


def test_all_units_are_confined_alike() -> None:
    def confinement(unit: Path) -> set[str]:
        text = unit.read_text(encoding="utf-8").partition("\nLimit")[2].partition("\n[")[0]
        return {line for line in ("Limit" + text).splitlines() if line and line[0] != "#"}

    server = {line for line in confinement(UNIT) if line.partition("=")[0] not in OF_THE_SERVER}
    for each in SERVICES:
        assert server <= confinement(each), each.name


def test_a_stop_has_more_time_than_the_server_takes() -> None:
    service = read(UNIT)["Service"]
    assert int(service["TimeoutStopSec"]) > longest_stop(Settings().drain)
    assert int(service["WatchdogSec"]) > 2 * Settings().worker_timeout - 1


def test_the_unit_of_backups_makes_one_beside_the_server(tmp_path: Path) -> None:
    program("age", "age")
    identity, recipients, folder = tmp_path / "identity", tmp_path / "recipients", tmp_path / "backups"
    subprocess.run(["age-keygen", "-o", identity], check=True, capture_output=True)
    recipients.write_bytes(subprocess.run(["age-keygen", "-y", identity], check=True, capture_output=True).stdout)
    folder.mkdir()
    service = read(BACKUP)["Service"]
    places = {
        INSTALLED: COMMAND,
        "/var/lib/strongroom": str(tmp_path / "data"),
        service["ReadWritePaths"].removeprefix("-"): str(folder),
        "/etc/strongroom/backup-recipients": str(recipients),
    }
    words = shlex.split(service["ExecStart"])
    assert places.keys() < set(words)
    with running_server(tmp_path / "data", tmp_path / "log", "--workers", "1") as server:
        done = subprocess.run(
            [places.get(each, each) for each in words], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert server.stop() == 0
    assert done.returncode == 0, done.stderr
    (made,) = folder.iterdir()
    assert made.read_bytes().startswith(b"age-encryption.org/v1\n")
