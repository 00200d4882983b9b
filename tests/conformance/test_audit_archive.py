"""``strongroom audit archive`` and ``prune`` beside a running server; verification and search with archives."""

import gzip
import json
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from accounts import data_of, strongroom, succeed
from audits import audit_files, command_records
from clients import client_of
from local_server import RunningServer, running_server

SETTINGS = "audit-segment-size = 4096\nkeeper-interval = 0.1\n"
APART = ("unshare", "--map-root-user", "--mount")
"""Runs a command that can mount what no other process sees."""
WHOLE = "The log is whole."


class Scene:
    """A server with several complete segments, and an archive that is still empty."""

    def __init__(self, server: RunningServer, archive: Path) -> None:
        self.server = server
        self.data = data_of(server)
        self.archive = archive
        self.kms = client_of(server)
        self.work(60)

    def work(self, calls: int) -> None:
        """Make calls, until the last complete segment is saved for a start: after a round of the keeper."""
        for _ in range(calls):
            self.kms.list_keys()
        deadline = time.monotonic() + 30
        while not self._saved():
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def _saved(self) -> bool:
        """Tell whether checkpoint and mark in the database are in the newest segment."""
        newest = self.names()[-1]
        with closing(sqlite3.connect(self.data / "strongroom.db")) as database:
            ((statement,),) = database.execute("SELECT statement FROM audit_checkpoint WHERE writer LIKE '%w0'")
            ((marked,),) = database.execute("SELECT segment FROM audit_mark WHERE writer LIKE '%w0'")
        first = int(newest.removesuffix(".jsonl").rpartition("-")[2])
        return bool(statement) and json.loads(statement)["sequence"] + 1 >= first and marked == newest

    def names(self) -> list[str]:
        return [path.name for path in audit_files(self.data)]

    def archived(self) -> list[str]:
        return sorted(path.name for path in self.archive.iterdir())

    def move(self, *options: str) -> str:
        return succeed(self.data, "audit", "archive", "--to", str(self.archive), *options)

    def verify(self, *options: str) -> str:
        return succeed(self.data, "audit", "verify", *options)

    def verify_all(self) -> str:
        return self.verify("--archive", str(self.archive))

    def found(self, *options: str) -> list[str]:
        """Return the ids of the events that a search finds."""
        lines = succeed(self.data, "audit", "search", "--json", "--event", "ListKeys", *options).splitlines()
        return [json.loads(line)["eventID"] for line in lines]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    (tmp_path / "strongroom.toml").write_text(SETTINGS)
    options = ("--config", str(tmp_path / "strongroom.toml"))
    with running_server(tmp_path / "data", tmp_path / "log", *options) as server:
        yield Scene(server, tmp_path / "archive")
        assert server.stop() == 0
    assert "Traceback" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize("compress", [(), ("--compress",)])
def test_complete_segments_move_and_stay_verifiable_and_searchable(scene: Scene, compress: tuple[str, ...]) -> None:
    before, events = scene.names(), scene.found()
    contents = {path.name: path.read_bytes() for path in audit_files(scene.data)}
    assert len(before) > 5
    assert len(events) == 60
    told = scene.move(*compress)
    moved = [name for name in before if name not in scene.names()]
    assert moved == before[: len(moved)]
    assert len(moved) == len(before) - 1
    assert told.startswith(f"{len(moved)} files (")
    ending = ".gz" if compress else ""
    assert scene.archived() == [name + ending for name in moved]
    for name in moved:
        path = scene.archive / (name + ending)
        content = gzip.decompress(path.read_bytes()) if compress else path.read_bytes()
        assert content == contents[name]
        assert path.stat().st_mode & 0o777 == 0o600
    if compress:
        zcat = subprocess.run(["zcat", str(scene.archive / f"{moved[0]}.gz")], capture_output=True, check=True)
        assert zcat.stdout == contents[moved[0]]
    (record,) = command_records(scene.data)
    assert record["eventName"] == "ArchiveAuditLog"
    assert record["serviceEventDetails"]["folder"] == str(scene.archive)
    assert [each["name"] for each in record["serviceEventDetails"]["segments"]] == moved
    # The log alone is whole, and says what is elsewhere; with the archive it is whole, too, and complete.
    alone = scene.verify()
    assert WHOLE in alone
    assert f"note: {len(moved)} files moved to {scene.archive}, as the log states, and not read" in alone
    both = scene.verify_all()
    assert WHOLE in both
    assert "note:" not in both
    assert scene.found("--archive", str(scene.archive)) == events
    assert set(scene.found()) < set(events)
    scene.work(40)
    scene.move()
    assert WHOLE in scene.verify_all()
    assert len(scene.found("--archive", str(scene.archive))) == 100


def test_the_server_goes_on_and_starts_again_without_what_was_moved(scene: Scene, tmp_path: Path) -> None:
    key = scene.kms.create_key()["KeyMetadata"]["KeyId"]
    scene.kms.encrypt(KeyId=key, Plaintext=b"x")
    used = scene.kms.get_key_last_usage(KeyId=key)
    scene.work(40)
    scene.move()
    assert scene.server.stop() == 0
    with running_server(tmp_path / "data", tmp_path / "log2") as server:
        kms = client_of(server)
        again = kms.get_key_last_usage(KeyId=key)
        assert {**again, "ResponseMetadata": None} == {**used, "ResponseMetadata": None}
        kms.list_keys()
        assert server.stop() == 0
    assert WHOLE in scene.verify()
    assert "note: 0" not in scene.verify_all()
    scene.server = server


def test_a_database_that_was_set_back_to_before_what_was_moved_goes_on(scene: Scene, tmp_path: Path) -> None:
    assert scene.server.stop() == 0
    older = tmp_path / "older.db"
    shutil.copyfile(scene.data / "strongroom.db", older)
    options = ("--config", str(tmp_path / "strongroom.toml"))
    with running_server(tmp_path / "data", tmp_path / "log2", *options) as server:
        scene.kms = client_of(server)
        scene.kms.create_key()
        scene.work(40)
        scene.move()
        assert server.stop() == 0
    shutil.copyfile(older, scene.data / "strongroom.db")
    succeed(scene.data, "database", "accept-older")
    with running_server(tmp_path / "data", tmp_path / "log3", *options) as server:
        scene.kms = client_of(server)
        scene.work(10)
        # The chain goes on at its end, not at the checkpoint that the database had.
        told = strongroom(scene.data, "audit", "verify").stdout
        assert "REORDERED" not in told
        assert "ALTERED" not in told
        assert server.stop() == 0
    assert "lacks its checkpoint" not in (tmp_path / "log3").read_text()
    scene.server = server


def test_only_what_is_old_enough_is_moved(scene: Scene) -> None:
    assert scene.move("--older-than", "1").startswith("0 files (0.0 MB)")
    assert scene.move("--before", "2026-01-01").startswith("0 files")
    assert command_records(scene.data) == []
    assert not scene.move("--before", "2999-01-01T00:00:00+02:00").startswith("0 files")
    for wrong in (("--older-than", "1", "--before", "2026-01-01"), ("--before", "some day"), ("--older-than", "-1")):
        assert strongroom(scene.data, "audit", "archive", "--to", str(scene.archive), *wrong).returncode == 2
    own = strongroom(scene.data, "audit", "archive", "--to", str(scene.data / "audit"))
    assert (own.returncode, "is the folder of the audit log itself" in own.stderr) == (1, True)
    own = strongroom(scene.data, "audit", "archive", "--to", str(scene.data))
    assert (own.returncode, "is the data folder itself" in own.stderr) == (1, True)


def test_a_second_mount_of_the_log_is_no_archive(scene: Scene) -> None:
    """The copies would be the files of the log themselves, and so be removed with them."""
    if subprocess.run([*APART, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount folders, also not in a namespace of its own")
    before = scene.names()
    scene.archive.mkdir()
    for own, what in (("audit", "the folder of the audit log"), ("", "the data folder")):
        for name, to in (
            ("archive", ("--to", str(scene.archive))),
            ("prune", (str(scene.archive), "--older-than", "0")),
        ):
            command = [sys.executable, "-m", "strongroom", "audit", name, *to, "--data", str(scene.data)]
            script = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'
            mounted = ["sh", "-c", script, "sh", str(scene.data / own), str(scene.archive)]
            done = subprocess.run([*APART, *mounted, *command], capture_output=True, text=True, check=False)
            assert (done.returncode, done.stderr) == (
                1,
                f"Error: `{scene.archive}` is {what} itself; choose another one\n",
            )
    assert scene.names() == before
    assert scene.archived() == []
    assert WHOLE in scene.verify()


def test_what_is_missing_and_was_not_moved_is_found(scene: Scene) -> None:
    scene.move()
    scene.work(40)
    gone = audit_files(scene.data)[0]
    gone.rename(scene.data / "elsewhere")
    done = strongroom(scene.data, "audit", "verify")
    assert done.returncode == 1
    assert "FILE MISSING" in done.stdout
    (scene.data / "elsewhere").rename(gone)
    # With archives given, all that was archived must be in them.
    moved = scene.archive / scene.archived()[1]
    content = moved.read_bytes()
    moved.unlink()
    done = strongroom(scene.data, "audit", "verify", "--archive", str(scene.archive))
    assert done.returncode == 1
    assert f"{moved.name} was archived, and is in none of the archives given" in done.stdout
    assert "1 finding" in done.stdout
    moved.write_bytes(content.replace(b'"ListKeys"', b'"TagUsers"', 1))
    done = strongroom(scene.data, "audit", "verify", "--archive", str(scene.archive))
    assert "ALTERED" in done.stdout
    moved.write_bytes(content)
    assert WHOLE in scene.verify_all()


def test_two_copies_must_be_alike_and_a_damaged_archive_is_found(scene: Scene, tmp_path: Path) -> None:
    scene.move("--compress")
    other = tmp_path / "other"
    shutil.copytree(scene.archive, other)
    options = ("--archive", str(scene.archive), "--archive", str(other))
    assert WHOLE in scene.verify(*options)
    path = other / scene.archived()[0]
    path.write_bytes(path.read_bytes()[:-20])
    done = strongroom(scene.data, "audit", "verify", *options)
    assert done.returncode == 1
    assert f"`{path}` is another file than" in done.stdout
    done = strongroom(scene.data, "audit", "verify", "--archive", str(other))
    assert done.returncode == 1
    assert f"`{path}` is damaged" in done.stdout
    assert done.stderr == ""
    done = strongroom(scene.data, "audit", "search", "--archive", str(other))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert f"`{path}` is damaged" in line


def test_an_archive_is_pruned_behind_a_statement(scene: Scene) -> None:
    scene.move()
    moved = scene.archived()
    stranger = scene.archive / moved[0].replace("-000000000001", "-900000000001")
    stranger.write_bytes(b"")
    nothing = strongroom(scene.data, "audit", "prune", str(scene.archive), "--older-than", "1")
    assert nothing.returncode == 1
    assert nothing.stdout.startswith("0 files")
    assert f"`{stranger}` stays: the audit log does not state that it is archived" in nothing.stderr
    stranger.unlink()
    assert strongroom(scene.data, "audit", "prune", str(scene.archive)).returncode == 2
    assert scene.archived() == moved
    told = succeed(scene.data, "audit", "prune", str(scene.archive), "--older-than", "0")
    assert told.startswith(f"{len(moved)} files (")
    assert scene.archived() == []
    record = command_records(scene.data)[-1]
    assert record["eventName"] == "PruneAuditLog"
    assert record["serviceEventDetails"] == {"folder": str(scene.archive), "segments": moved}
    for told in (scene.verify(), scene.verify_all()):
        assert WHOLE in told
        assert f"note: {len(moved)} files pruned from an archive, as the log states" in told


def test_a_statement_counts_only_if_it_is_signed(scene: Scene) -> None:
    """An attacker who can write the folder cannot make up a statement, nor take one away."""
    scene.move()
    (segment,) = (scene.data / "audit").glob("*cli-*")
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join(lines[:2]))
    done = strongroom(scene.data, "audit", "verify")
    assert done.returncode == 1
    assert "FILE MISSING" in done.stdout
    assert "TRUNCATED" in done.stdout
    segment.write_bytes(b"".join(lines))
    assert WHOLE in scene.verify()


def test_a_damaged_segment_stays_and_its_chain_with_it(scene: Scene) -> None:
    third = audit_files(scene.data)[2]
    content = third.read_bytes()
    third.write_bytes(content.replace(b'"ListKeys"', b'"TagUsers"', 1))
    done = strongroom(scene.data, "audit", "archive", "--to", str(scene.archive))
    assert done.returncode == 1
    assert done.stdout.startswith("2 files (")
    (line,) = done.stderr.splitlines()
    assert f"{third.name}:" in line
    assert "was not archived from there on" in line
    third.write_bytes(content)
    scene.move()
    assert WHOLE in scene.verify_all()


def test_another_file_in_the_place_of_a_copy_is_never_replaced(scene: Scene) -> None:
    scene.archive.mkdir()
    first = audit_files(scene.data)[0]
    (scene.archive / first.name).write_bytes(b"of another program\n")
    done = strongroom(scene.data, "audit", "archive", "--to", str(scene.archive))
    assert done.returncode == 1
    assert f"`{scene.archive / first.name}` is not a copy of `{first}`; move it away" in done.stderr
    assert (scene.archive / first.name).read_bytes() == b"of another program\n"
    assert first.exists()


def test_an_archiving_that_was_killed_before_it_removed_anything_goes_on(scene: Scene) -> None:
    scene.move("--compress")
    for path in scene.archive.iterdir():
        back = scene.data / "audit" / path.name.removesuffix(".gz")
        back.write_bytes(gzip.decompress(path.read_bytes()))
    count = len(scene.archived())
    # Each is there twice now, which is no finding, and is searched once.
    assert WHOLE in scene.verify_all()
    assert "note:" not in scene.verify()
    assert len(scene.found("--archive", str(scene.archive))) == 60
    # What the log still has is not pruned.
    assert succeed(scene.data, "audit", "prune", str(scene.archive), "--older-than", "0").startswith("0 files")
    assert len(scene.archived()) == count
    # A draft that a kill has left is made anew.
    (scene.archive / f"{scene.archived()[0]}.partial").write_bytes(b"half")
    statements = len(command_records(scene.data))
    assert scene.move().startswith(f"{count} files")
    assert len(command_records(scene.data)) == statements
    assert len(scene.names()) == 1
    assert WHOLE in scene.verify_all()
