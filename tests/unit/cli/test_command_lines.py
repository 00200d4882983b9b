"""Lines to run elsewhere: they name the data folder, the settings file, and the program where the PATH does not."""

import shlex
import sys
from pathlib import Path

import pytest

from strongroom.cli.command_lines import command_line

OWN = str(Path(sys.prefix, "bin", "strongroom"))


def test_a_line_names_the_program_that_no_path_leads_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    data = tmp_path / "my data"
    assert shlex.split(command_line("serve", data=data)) == [OWN, "serve", "--data", str(data)]
    other = tmp_path / "strongroom"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    assert shlex.split(command_line("serve", data=data))[0] == OWN


def test_a_line_has_absolute_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(Path(OWN).parent))
    monkeypatch.chdir(tmp_path)
    line = command_line("account", "root-key", "ID", data=Path("d"), config=Path("c.toml"))
    options = f"--data {shlex.quote(str(tmp_path / 'd'))} --config {shlex.quote(str(tmp_path / 'c.toml'))}"
    assert line == f"strongroom account root-key ID {options}"


def test_a_settings_file_of_this_folder_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert "--config" not in command_line("serve", data=Path("d"))
    Path("strongroom.toml").write_text("")
    assert shlex.split(command_line("serve", data=Path("d")))[-2:] == ["--config", str(tmp_path / "strongroom.toml")]
