import json
import re
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from audit_disk import Disk
from shipping import content_of, object_storage, objects_of, s3_client, ship, shipper_of
from stalling_proxy import StallingProxy
from strongroom.shipping import s3
from strongroom.shipping.destination import DestinationError
from strongroom.shipping.s3 import OPEN, Bucket, S3Destination
from strongroom.shipping.s3_fetching import fetch
from strongroom.shipping.shipper import Shipper
from strongroom.store.audit.segments import segments_of


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with object_storage(tmp_path_factory.mktemp("storage") / "log") as port:
        yield port


@pytest.fixture
def bucket(storage: int, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing-secret")
    name = "b" + str(abs(hash(request.node.name)))
    s3_client(storage).create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    return Bucket(name, "audit/", f"http://127.0.0.1:{storage}", "us-east-1")


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    (tmp_path / "audit").mkdir()
    return Disk(tmp_path / "audit", monkeypatch)


def shipper_to(bucket: Bucket, disk: Disk, *, retain_days: int = 0) -> Shipper:
    there = S3Destination(bucket, retain_days, disk.clock.now)
    return shipper_of(disk.folder, disk.folder.parent / "state", there, disk.clock)


def fetched(bucket: Bucket, folder: Path) -> dict[str, bytes]:
    folder.mkdir()
    sizes: list[int] = []
    files, size = fetch(bucket, folder, sizes.append)
    found = content_of(folder)
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} <= {0o600}
    assert (files, size) == (len(found), sum(map(len, found.values())))
    return found


def test_what_is_fetched_is_the_log(bucket: Bucket, storage: int, disk: Disk, tmp_path: Path) -> None:
    log = disk.open(size=4096)
    for number in range(20):
        disk.write(log, *(f"event{number}" for _ in range(4)))
        if number % 3 == 0:
            shipper = shipper_to(bucket, disk)
            ship(shipper)
            assert shipper.status().failing == ""
            assert fetched(bucket, tmp_path / f"fetched{number}") == content_of(disk.folder)
    ship(shipper_to(bucket, disk))
    log.close()
    ship(shipper_to(bucket, disk))
    there = objects_of(storage, bucket.name)
    complete = [name for name in content_of(disk.folder) if f"audit/{name}" in there]
    assert len(complete) == len(content_of(disk.folder)) - 1
    assert any(name.startswith(f"audit/{OPEN}") for name in there)
    assert fetched(bucket, tmp_path / "fetched") == content_of(disk.folder)


@pytest.mark.parametrize("is_complete", [True, False])
def test_what_the_machine_has_lost_is_set_aside_when_the_log_is_fetched(
    bucket: Bucket, disk: Disk, tmp_path: Path, *, is_complete: bool
) -> None:
    """Also if the clock was ahead when the machine had started again, and was set back."""
    log = disk.open(size=2000)
    for number in range(30):
        disk.write(log, f"event{number}")
    ship(shipper_to(bucket, disk))
    if is_complete:
        disk.write(log, *(f"event{number}" for number in range(12)))
    sizes = [segment.path.stat().st_size for segment in segments_of(disk.folder)]
    disk.cut_power(sum(sizes[:2]) - 300)
    disk.clock.step(3600)
    again = disk.open(size=2000)
    for number in range(30):
        disk.write(again, f"other{number}")
        if number == 10:
            disk.clock.step(-3650)
    ship(shipper_to(bucket, disk))
    begun = [segment.begun for segment in segments_of(disk.folder)]
    assert begun != sorted(begun)
    assert fetched(bucket, tmp_path / "fetched") == content_of(disk.folder)
    lost = [path.name for path in (tmp_path / "fetched").iterdir() if ".cut-off-" in path.name]
    assert len(lost) == len(sizes) - 1


def test_a_part_that_is_shipped_again_may_be_longer(bucket: Bucket, disk: Disk, tmp_path: Path) -> None:
    log = disk.open()
    disk.write(log, "one")
    ship(shipper_to(bucket, disk))
    state = {path: path.read_bytes() for path in (tmp_path / "state").iterdir()}
    disk.write(log, "two")
    ship(shipper_to(bucket, disk))
    # Killed before it could note that.
    for path, content in state.items():
        path.write_bytes(content)
    disk.write(log, "three")
    ship(shipper_to(bucket, disk))
    disk.write(log, "four")
    ship(shipper_to(bucket, disk))
    assert fetched(bucket, tmp_path / "fetched") == content_of(disk.folder)


def test_a_part_that_is_shipped_again_may_reach_beyond_the_next_one(bucket: Bucket, disk: Disk, tmp_path: Path) -> None:
    log = disk.open()
    disk.write(log, "one")
    ship(shipper_to(bucket, disk))
    state = {path: path.read_bytes() for path in (tmp_path / "state").iterdir()}
    for event in ("two", "three"):
        disk.write(log, event)
        ship(shipper_to(bucket, disk))
    # Killed before it could note either.
    for path, content in state.items():
        path.write_bytes(content)
    for event in ("four", "five"):
        disk.write(log, event)
        ship(shipper_to(bucket, disk))
    assert fetched(bucket, tmp_path / "fetched") == content_of(disk.folder)


def test_a_part_that_is_missing_is_named(bucket: Bucket, storage: int, disk: Disk, tmp_path: Path) -> None:
    log = disk.open()
    for _ in range(3):
        disk.write(log, "event")
        ship(shipper_to(bucket, disk))
    parts = sorted(objects_of(storage, bucket.name))
    client = s3_client(storage)
    client.delete_object(Bucket=bucket.name, Key=parts[1])
    with pytest.raises(DestinationError, match="lacks the part of"):
        fetched(bucket, tmp_path / "fetched")


def test_objects_can_have_a_retention(bucket: Bucket, storage: int, disk: Disk) -> None:
    disk.write(disk.open(), "event")
    shipper = shipper_to(bucket, disk, retain_days=30)
    ship(shipper)
    assert shipper.status().failing == ""
    client = s3_client(storage)
    (name,) = objects_of(storage, bucket.name)
    head = client.head_object(Bucket=bucket.name, Key=name)
    assert head["ObjectLockMode"] == "COMPLIANCE"
    assert head["ObjectLockRetainUntilDate"].timestamp() == pytest.approx(disk.clock.now() + 30 * 86400, abs=2)


def test_without_credentials_it_is_said_what_to_set(
    bucket: Bucket, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    disk.write(disk.open(), "event")
    shipper = shipper_to(bucket, disk)
    ship(shipper)
    assert "set AWS_PROFILE, or AWS_ACCESS_KEY_ID" in shipper.status().failing


def test_credentials_that_have_expired_are_named_and_new_ones_are_used_without_a_restart(
    bucket: Bucket, disk: Disk, storage: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    given = tmp_path / "given.json"
    config = tmp_path / "config"
    config.write_text(f"[profile shipping]\ncredential_process = cat {given}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_PROFILE", "shipping")
    disk.write(disk.open(), "event")
    destination = S3Destination(bucket, 0, disk.clock.now)
    keys = {"Version": 1, "AccessKeyId": "testing", "SecretAccessKey": "testing-secret", "SessionToken": "token"}
    for expires, failing in (("2020", "the credentials for s3://.* still expired"), ("2199", "^$")):
        given.write_text(json.dumps({**keys, "Expiration": f"{expires}-01-01T00:00:00Z"}))
        shipper = shipper_of(disk.folder, tmp_path / "state", destination, disk.clock)
        ship(shipper)
        assert re.search(failing, shipper.status().failing)
    assert objects_of(storage, bucket.name)


def test_a_bucket_that_is_not_there_is_named(bucket: Bucket, disk: Disk) -> None:
    disk.write(disk.open(), "event")
    missing = Bucket("no-such-bucket", "", bucket.endpoint, bucket.region)
    shipper = shipper_to(missing, disk)
    ship(shipper)
    assert shipper.status().failing.startswith("s3://no-such-bucket answers NoSuchBucket")


def test_no_secret_is_in_what_is_said(
    bucket: Bucket, disk: Disk, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("DEBUG")
    monkeypatch.setattr(s3, "_ATTEMPTS", 1)
    disk.write(disk.open(), "event")
    ship(shipper_to(bucket, disk))
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    shipper = shipper_to(Bucket("b", "", f"http://127.0.0.1:{port}", "us-east-1"), disk)
    shipper._places.clear()
    ship(shipper)
    assert "does not answer" in shipper.status().failing
    assert "testing-secret" not in caplog.text + shipper.status().failing
    assert "Signature" not in caplog.text


def test_a_storage_that_is_cut_off_or_hangs_gets_everything_later(
    bucket: Bucket, storage: int, disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "_READ_TIMEOUT", 1)
    monkeypatch.setattr(s3, "_ATTEMPTS", 1)
    proxy = StallingProxy(storage)
    try:
        behind = Bucket(bucket.name, "audit/", f"http://127.0.0.1:{proxy.port}", "us-east-1")
        log = disk.open(size=4096)
        failed = 0
        for round_ in range(6):
            disk.write(log, *(f"event{round_}" for _ in range(10)))
            if round_ % 3 == 1:
                proxy.stall()
            shipper = shipper_to(behind, disk)
            ship(shipper)
            failed += bool(shipper.status().failing)
            proxy.resume()
            proxy.cut()
        ship(shipper_to(behind, disk))
    finally:
        proxy.close()
    assert failed == 2
    assert fetched(bucket, tmp_path / "fetched") == content_of(disk.folder)


def test_without_the_library_it_is_said_what_to_install() -> None:
    code = (
        "import sys; sys.modules['botocore'] = None\n"
        "from strongroom.shipping.s3 import Bucket, client_of\n"
        "from strongroom.shipping.destination import DestinationError\n"
        "try: client_of(Bucket('b'))\n"
        "except DestinationError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'strongroom[s3]'" in done.stdout
