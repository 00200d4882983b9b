"""Files that commands write under a name that the operator gives: nothing else is replaced, and none is lost."""

import json
import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import click
import pytest
from click.testing import CliRunner, Result

from command_tree import commands
from local_deployment import LocalDeployment, entropy
from strongroom.assembly.open_folder import open_existing
from strongroom.cli.main import main
from strongroom.cli.options import NEW_FILE, PATH, WRITTEN_FILE
from strongroom.clock import ManualClock
from strongroom.key_exports import document
from strongroom.key_exports.document import ExportedKey, KeyExport
from strongroom.keys.specs import KeySpec, KeyUsage
from strongroom.keys.states import KeyState

KEY = "arn:aws:kms:us-east-1:000000000000:key/12345678-1234-1234-1234-123456789012"

OF_ANY_KIND = {
    ("backup", "to"): "a folder or a new file; it is checked by `BackupMaker`",
    ("migrate-ciphertexts", "paths"): "files or folders; only what was read from a file is replaced",
    ("migrate-ciphertexts", "journal_file"): "a new file or a journal; it is checked by `Journal`",
}
"""Options and arguments that take a path of any kind, other than --config, and what refuses a wrong one."""


def options_of(kind: click.Path) -> set[tuple[str, str]]:
    return {(name, str(each.name)) for name, command in commands() for each in command.params if each.type is kind}


def test_each_path_is_of_a_kind() -> None:
    assert {each for each in options_of(PATH) if each[1] != "config"} == set(OF_ANY_KIND)
    assert options_of(WRITTEN_FILE) == {("import aws", "target_file"), ("import aws", "report")}
    assert options_of(NEW_FILE) == {("xks-proxy export", "to")}


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_link(path: Path) -> None:
    path.with_name("target").write_text("a file")
    path.symlink_to("target")


def a_link_to_nothing(path: Path) -> None:
    path.symlink_to("missing")


@pytest.mark.parametrize("kind", [WRITTEN_FILE, NEW_FILE], ids=["written", "new"])
@pytest.mark.parametrize("make", [a_pipe, a_link, a_link_to_nothing, Path.mkdir])
def test_what_is_no_regular_file_is_not_replaced(
    tmp_path: Path, kind: click.Path, make: Callable[[Path], object]
) -> None:
    path = tmp_path / "report"
    make(path)
    with pytest.raises(click.BadParameter, match=r"is not a regular file|exists already|is a directory"):
        kind.convert(str(path), None, None)


@pytest.mark.parametrize("device", ["/dev/null", "/dev/stdout"])
def test_a_device_is_not_replaced(device: str) -> None:
    with pytest.raises(click.BadParameter, match=f"`{device}` is not a regular file; name a file"):
        WRITTEN_FILE.convert(device, None, None)


def test_a_folder_must_be_there(tmp_path: Path) -> None:
    for kind in (WRITTEN_FILE, NEW_FILE):
        with pytest.raises(click.BadParameter, match=f"`{tmp_path}/missing` is not a folder; make it first"):
            kind.convert(str(tmp_path / "missing" / "report"), None, None)
        assert kind.convert(str(tmp_path / "report"), None, None) == tmp_path / "report"


def test_a_folder_that_cannot_be_looked_into_is_told_in_words(tmp_path: Path) -> None:
    """Root may look into every folder, so the test has one whose name is too long."""
    with pytest.raises(click.BadParameter, match="cannot be written: File name too long"):
        WRITTEN_FILE.convert(str(tmp_path / ("x" * 300) / "report"), None, None)


def test_a_file_that_is_there_is_replaced_or_not(tmp_path: Path) -> None:
    path = tmp_path / "report"
    path.write_text("")
    assert WRITTEN_FILE.convert(str(path), None, None) == path
    with pytest.raises(click.BadParameter, match="exists already; name a new file"):
        NEW_FILE.convert(str(path), None, None)


@pytest.mark.skipif(os.getuid() == 0, reason="root can write everywhere")
def test_a_folder_must_be_writable(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(click.BadParameter, match=f"you may not write in `{tmp_path}`"):
            WRITTEN_FILE.convert(str(tmp_path / "report"), None, None)
    finally:
        tmp_path.chmod(0o700)


class Scene(NamedTuple):
    """A data folder, the export of a key that is not in it, and where the report is to be."""

    local: LocalDeployment
    export: Path
    report: Path

    def run(self, *options: str) -> Result:
        arguments = ("import", "aws", "--from", str(self.export), "--data", str(self.local.folder), *options)
        return CliRunner().invoke(main, arguments)

    def keys(self) -> int:
        opening = closing(open_existing(self.local.settings, self.local.clock, entropy))
        with opening as opened, opened.store.read() as reader:
            return sum(reader.keys_by_region().values())


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr("strongroom.cli.data_folder.harden_process", lambda: None)
    local = LocalDeployment(tmp_path / "data", ManualClock(1_790_000_000.0))
    local.deployment.close()
    export = tmp_path / "export"
    key = ExportedKey(
        arn=KEY, key_spec=KeySpec.SYMMETRIC_DEFAULT, key_usage=KeyUsage.ENCRYPT_DECRYPT, key_state=KeyState.ENABLED
    )
    export.write_bytes(document.encode(KeyExport(account="000000000000", region="us-east-1", keys=(key,))))
    return Scene(local, export, tmp_path / "report")


def test_nothing_is_imported_if_the_report_would_replace_something_else(scene: Scene) -> None:
    database = scene.local.folder / "strongroom.db"
    missing = scene.report.parent / "missing" / "report"
    os.mkfifo(pipe := scene.report.with_name("pipe"))
    for path in (scene.export, database, scene.local.folder / "credentials", missing, pipe):
        before = path.read_bytes() if path.is_file() else None
        done = scene.run("--report", str(path))
        assert (done.exit_code, str(path.name) in done.output) == (2, True), done.output
        assert (path.read_bytes() if path.is_file() else None) == before
        if path not in {missing, scene.export}:
            assert scene.run("--export", str(path)).exit_code == 2
            assert (path.read_bytes() if path.is_file() else None) == before
    assert pipe.is_fifo()
    assert scene.keys() == 0


@pytest.mark.parametrize(("option", "keys"), [("--report", "keys"), ("--export", "Keys")])
def test_an_empty_file_is_nothing_to_lose(scene: Scene, option: str, keys: str) -> None:
    """As mktemp(1) makes one."""
    scene.report.touch()
    done = scene.run(option, str(scene.report))
    assert done.exit_code == 0, done.output
    assert len(json.loads(scene.report.read_text())[keys]) == 1


def test_a_report_is_replaced_by_another_but_not_by_that_of_a_dry_run(scene: Scene) -> None:
    for options, outcome in ((("--dry-run",), "imported"), ((), "imported"), ((), "present")):
        done = scene.run("--report", str(scene.report), *options)
        assert done.exit_code == 0, done.output
        (key,) = json.loads(scene.report.read_text())["keys"]
        assert key["outcome"] == outcome
    before = scene.report.read_bytes()
    done = scene.run("--report", str(scene.report), "--dry-run")
    assert done.exit_code == 2
    assert "is there, and is no report of a dry run; name another file" in done.output
    assert scene.report.read_bytes() == before


def test_what_was_imported_is_told_also_if_the_report_cannot_be_written(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, _content: bytes, *, replace: bool) -> None:
        assert replace
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("strongroom.cli.import_keys.write_named_file", full)
    done = scene.run("--report", str(scene.report), "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["keys"][0]["outcome"] == "imported"
    assert done.stderr == f"Error: `{scene.report}` cannot be used: No space left on device\n"
    assert scene.keys() == 1
