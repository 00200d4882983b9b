"""The parts of ``strongroom doctor`` that a real folder does not show: weights, bounds, and what fails within it."""

import fcntl
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TypeVar

import msgspec
import pytest

from audits import command_records
from backup_scene import back_up
from local_deployment import LocalDeployment, entropy
from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.assembly.doctor.audit import check_backup
from strongroom.assembly.doctor.database import check_every_record
from strongroom.assembly.doctor.events import check_events
from strongroom.assembly.doctor.examination import Check, examine
from strongroom.assembly.doctor.files import check_disk, check_secret_files, secret_files
from strongroom.assembly.doctor.results import Finding, Report, Status, critical, ok, result_of, told, unknown, warning
from strongroom.assembly.doctor.scene import Options, Scene
from strongroom.assembly.doctor.service import check_certificate
from strongroom.assembly.doctor.table import CHECKS
from strongroom.assembly.event_sending import EventSending
from strongroom.assembly.events import spool_of
from strongroom.assembly.open_folder import open_existing
from strongroom.audit_destinations import AuditDestination
from strongroom.clock import DAY, ManualClock, SystemClock
from strongroom.event_destinations import EventDestination
from strongroom.events.event import own_event
from strongroom.settings import Settings, XksProxyHost
from strongroom.settings_sources import load
from tls_files import self_signed

T = TypeVar("T", bound=msgspec.Struct)

NOW = 1_790_000_000.0
GIGABYTE = 1 << 30
_SECRET = re.compile(r"(^|_)key$|(password|pin|passphrase|secret)_file$")
"""The names of settings that name a file with a secret."""


@contextmanager
def no_progress(_label: str, _length: int) -> Iterator[Callable[[int], object]]:
    yield lambda _done: None


def scene_of(folder: Path, now: float = NOW, **settings: object) -> Scene:
    found = load("", {}, {"data": str(folder), **settings})
    return Scene(found, folder, Options(), ManualClock(now), entropy, no_progress)


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[LocalDeployment]:
    made = LocalDeployment(tmp_path / "data", ManualClock(NOW))
    yield made
    made.deployment.close()


def outcome(scene: Scene, run: Callable[[Scene], Iterator[Finding]], *, reads_database: bool = False) -> Report:
    with closing(scene):
        return examine(scene, [Check("one", run, reads_database=reads_database)])


def test_what_could_not_be_checked_weighs_more_than_a_warning_and_less_than_what_is_critical() -> None:
    findings = [ok("a"), warning("b", "do b"), unknown("c"), warning("d", "do b")]
    found = result_of("one", findings, 0.0)
    assert (found.status, found.text, found.remedies) == (Status.UNKNOWN, "b; c; d", ["do b"])
    assert result_of("one", [*findings, critical("e", "do e")], 0.0).status is Status.CRITICAL
    assert result_of("one", [ok("a"), ok("b")], 0.0).text == "a; b"
    assert [status.exit_code for status in Status] == [0, 1, 2, 3]


def test_a_message_is_divided_into_what_is_wrong_and_what_to_do() -> None:
    assert told("a is broken; b too; mend it") == critical("a is broken; b too", "mend it")
    assert told("a is broken. Mend it") == critical("a is broken", "Mend it")
    assert "restore a backup" in told("a is broken").remedy


def test_no_two_checks_have_one_name() -> None:
    names = [check.name for check in CHECKS]
    assert len(set(names)) == len(names)


def test_an_unexpected_error_ends_one_check_and_its_text_is_not_shown(tmp_path: Path) -> None:
    def fails(_scene: Scene) -> Iterator[Finding]:
        yield ok("so far")
        raise LookupError("a value of a row")

    report = outcome(scene_of(tmp_path), fails)
    assert (report.status, report.checks[0].status) == (Status.UNKNOWN, Status.UNKNOWN)
    assert "LookupError" in report.checks[0].text
    assert "a value" not in report.checks[0].text


def test_an_error_of_the_system_names_the_file(tmp_path: Path) -> None:
    def fails(_scene: Scene) -> Iterator[Finding]:
        yield ok((tmp_path / "missing").read_text())

    (found,) = outcome(scene_of(tmp_path), fails).checks
    assert found.text == f"`{tmp_path}/missing` cannot be read: No such file or directory"


def test_a_check_that_another_one_prevents_names_it(tmp_path: Path) -> None:
    def needs_keys(scene: Scene) -> Iterator[Finding]:
        yield ok(str(scene.domain_keys))

    (found,) = outcome(scene_of(tmp_path / "missing"), needs_keys).checks
    assert (found.status, found.text) == (Status.UNKNOWN, "not checked, because of what `folder` says")


def test_what_is_read_while_a_server_starts_is_not_relied_upon(deployment: LocalDeployment) -> None:
    deployment.deployment.close()
    log = deployment.folder / "strongroom.db-wal"
    assert not log.exists()

    def read(scene: Scene) -> Iterator[Finding]:
        with scene.store.read() as reader:
            yield ok(str(reader.keys_by_region()))
        log.touch()

    (found,) = outcome(scene_of(deployment.folder), read, reads_database=True).checks
    assert (found.status, found.text) == (Status.UNKNOWN, "a server was started meanwhile")
    log.unlink()


@pytest.mark.parametrize(
    ("free", "size", "inodes", "status"),
    [
        (50 * GIGABYTE, 100 * GIGABYTE, 10**6, Status.OK),
        (GIGABYTE // 2, 100 * GIGABYTE, 10**6, Status.WARNING),
        (GIGABYTE // 50, 100 * GIGABYTE, 10**6, Status.CRITICAL),
        # A small disk has little room without being full.
        (GIGABYTE // 20, GIGABYTE // 10, 10**6, Status.OK),
        (50 * GIGABYTE, 100 * GIGABYTE, 5000, Status.WARNING),
        (50 * GIGABYTE, 100 * GIGABYTE, 5, Status.CRITICAL),
    ],
)
def test_room_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, free: int, size: int, inodes: int, status: Status
) -> None:
    disk = SimpleNamespace(f_flag=0, f_frsize=1, f_bavail=free, f_blocks=size, f_files=10**7, f_favail=inodes)
    monkeypatch.setattr(os, "statvfs", lambda _path: disk)
    (found,) = outcome(scene_of(tmp_path), check_disk).checks
    assert found.status is status
    assert bool(found.remedies) == (status is not Status.OK)


@pytest.mark.parametrize(
    ("folder", "file", "status"),
    [
        (0o755, 0o640, Status.OK),
        (0o755, 0o644, Status.WARNING),
        (0o750, 0o644, Status.OK),
        (0o711, 0o604, Status.WARNING),
    ],
)
def test_a_private_key_that_all_users_can_read(folder: int, file: int, status: Status) -> None:
    # Not all users can look into the folders of pytest.
    with tempfile.TemporaryDirectory() as name:
        parent = Path(name)
        parent.chmod(folder)
        key, link = parent / "server.key", parent / "link"
        key.write_text("secret")
        key.chmod(file)
        link.symlink_to(key)
        (found,) = outcome(scene_of(parent, tls_cert="x", tls_key=str(link)), check_secret_files).checks
    assert found.status is status
    assert status is Status.OK or "chmod o-r" in found.remedies[0]


def test_every_setting_that_names_a_file_with_a_secret_is_looked_at() -> None:
    named = set[str]()

    def filled(kind: type[T], **more: object) -> T:
        fields = [each.name for each in msgspec.structs.fields(kind)]
        secrets = {name: f"{kind.__name__}.{name}" for name in fields if re.search(_SECRET, name)}
        named.update(secrets.values())
        return kind(**secrets, **more)

    settings = filled(
        Settings,
        xks_proxies=(filled(XksProxyHost, host="a"),),
        audit_ship=(filled(AuditDestination, to="a"),),
        events=(filled(EventDestination, to="a"),),
    )
    assert {*secret_files(settings)} == named
    assert len(named) >= 9


def test_a_disk_that_can_only_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = SimpleNamespace(f_flag=os.ST_RDONLY, f_frsize=1, f_bavail=10**12, f_blocks=10**12, f_files=0, f_favail=0)
    monkeypatch.setattr(os, "statvfs", lambda _path: disk)
    (found,) = outcome(scene_of(tmp_path), check_disk).checks
    assert "mounted to read only" in found.text


def test_an_expired_certificate_is_critical_and_one_that_expires_soon_is_not(tmp_path: Path) -> None:
    pair = self_signed(tmp_path / "tls", "server", days=30)
    files = {"tls_cert": str(pair.certificate), "tls_key": str(pair.key)}
    now = SystemClock().now()
    found = {
        days: outcome(scene_of(tmp_path, now + days * DAY, **files), check_certificate).status
        for days in (-1, 0, 20, 31)
    }
    assert found == {-1: Status.CRITICAL, 0: Status.OK, 20: Status.WARNING, 31: Status.CRITICAL}


def test_a_backup_that_failed_is_recorded_and_does_not_count(deployment: LocalDeployment, tmp_path: Path) -> None:
    def last() -> tuple[Status, str]:
        (found,) = outcome(scene_of(deployment.folder, NOW + DAY), check_backup).checks
        return found.status, found.text

    assert last() == (Status.WARNING, "no backup was made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("strongroom.assembly.backups.maker.publish", _full)
        with pytest.raises(DataFolderError, match="No space left"):
            back_up(deployment, tmp_path)
    failed = [each for each in command_records(deployment.folder) if "errorCode" in each]
    assert [each["eventName"] for each in failed] == ["CreateBackup"]
    assert "No space left" in failed[0]["errorMessage"]
    assert last() == (Status.WARNING, "no backup was made")
    made = back_up(deployment, tmp_path)
    assert last() == (Status.OK, f"the last one was made 1.0 days ago, to `{made.path}`")


def _full(_target: Path) -> None:
    raise OSError(28, "No space left on device")


def test_domain_keys_may_be_rotated_while_it_checks(deployment: LocalDeployment) -> None:
    deployment.call("CreateKey")

    def rotate(scene: Scene) -> Iterator[Finding]:
        yield ok(f"opens {len(scene.domain_keys.versions())}")
        with closing(open_existing(deployment.settings, deployment.clock, entropy)) as opened:
            opened.domain_keys.begin(())
            for each in opened.domain_keys.status():
                opened.domain_keys.rewrap(each.scope)
            opened.domain_keys.destroy_old(())

    checks = [Check("rotation", rotate), Check("records", check_every_record, reads_database=True)]
    with closing(scene_of(deployment.folder)) as scene:
        report = examine(scene, checks)
    assert [each.text for each in report.checks][1:] == ["all are as they were written; the material of 1 key opens"]


def test_a_folder_is_locked_only_by_its_server(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    assert not folder.is_locked()
    lock = folder.lock()
    assert folder.is_locked()
    fcntl.flock(lock, fcntl.LOCK_UN)
    assert not folder.is_locked()
    os.close(lock)


def test_a_destination_of_events_that_does_not_take_them_is_named(tmp_path: Path) -> None:
    events = ({"to": f"file:{tmp_path}/missing/events"},)
    assert outcome(scene_of(tmp_path), check_events).checks[0].text == "events are sent nowhere"
    scene = scene_of(tmp_path, events=events)
    DataFolder(tmp_path).node_id.write_text("a1b2c3d4e5f6\n")
    sending = EventSending(scene.settings, scene.clock, entropy)
    spool_of(scene.settings, scene.clock).prepare()
    sending.start()
    sending.stop(10)
    assert outcome(scene, check_events).checks[0].text == f"file:{tmp_path}/missing/events takes events"
    scene = scene_of(tmp_path, events=events)
    sending = EventSending(scene.settings, scene.clock, entropy)
    event = own_event("Test", {}, event_id="e", now=NOW, account="000000000000", region="us-east-1")
    spool_of(scene.settings, scene.clock).add(event)
    sending.start()
    sending.stop(10)
    (found,) = outcome(scene, check_events).checks
    assert found.status is Status.WARNING
    assert "has not taken events since" in found.text
    assert "1 event waiting: " in found.text
    assert found.remedies == ["try it with: strongroom events test"]


def test_events_that_nothing_sends_are_told_of_whether_or_not_one_waits(tmp_path: Path) -> None:
    to = f"file:{tmp_path}/events"
    scene = scene_of(tmp_path, events=({"to": to},))
    DataFolder(tmp_path).node_id.write_text("a1b2c3d4e5f6\n")
    spool = spool_of(scene.settings, scene.clock)
    spool.prepare()
    EventSending(scene.settings, scene.clock, entropy).tell()
    lock = DataFolder(tmp_path).lock()
    assert outcome(scene, check_events).checks[0].text == f"{to} takes events"
    later = scene_of(tmp_path, NOW + 1000, events=({"to": to},))
    assert outcome(later, check_events).checks[0].text == f"nothing sends events to {to}, 0 events waiting"
    # It is in no queue yet.
    spool.add(own_event("Test", {}, event_id="e", now=NOW, account="000000000000", region="us-east-1"))
    assert outcome(later, check_events).checks[0].text == f"nothing sends events to {to}, 1 event waiting"
    os.close(lock)
