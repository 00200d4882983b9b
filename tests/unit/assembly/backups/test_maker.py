"""Backups of a data folder: what they hold, where they are written, and what verification finds."""

import errno
import fcntl
import os
import sqlite3
from contextlib import AbstractContextManager, closing
from io import BufferedRandom
from pathlib import Path

import pytest
from typing_extensions import override

from audits import command_records
from backup_scene import back_up, decryption, encryption, verify
from backups import small_backup
from local_deployment import LocalDeployment, entropy
from strongroom.assembly.backups.verification import Origin
from strongroom.assembly.data_folder import DataFolderError
from strongroom.backup.blocks import BackupError
from strongroom.clock import DAY
from strongroom.crypto.age.recipients import RecipientEncryption
from strongroom.crypto.age.stream import AgeError, Readable, Writable
from strongroom.crypto.audit_key import AuditKey
from strongroom.crypto.seal import UnsealError
from strongroom.crypto.seals.file import create_root_key
from strongroom.store.sql.sections import TableReader
from strongroom.store.sqlite.store import SqlStore

NOW = 1_790_000_000.0


@pytest.fixture
def root_key(deployment: LocalDeployment) -> Path:
    return deployment.folder / "root.key"


def test_a_backup_holds_every_key_and_says_what_it_is(
    deployment: LocalDeployment, tmp_path: Path, root_key: Path
) -> None:
    for spec, usage in (("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"), ("ECC_NIST_P256", "SIGN_VERIFY")):
        deployment.call("CreateKey", KeySpec=spec, KeyUsage=usage)
    made = back_up(deployment, tmp_path)
    assert made.path.stat().st_mode & 0o777 == 0o600
    assert made.path.stat().st_size == made.size
    found = verify(made.path, root_key=root_key)
    assert found.origin is Origin.ROOT_KEY
    assert found.signed == made.signed
    assert found.content is not None
    # Two keys, and the root access key.
    assert (found.content.opened, found.content.damaged_count) == (3, 0)
    manifest = found.signed.manifest
    assert (manifest.at, manifest.node, manifest.rows_of("kms_key")) == (NOW, deployment.deployment.node, 2)
    assert [each.writer for each in manifest.checkpoints] == [
        f"{deployment.deployment.node}{name}" for name in ("cli", "w0")
    ]
    assert not list(tmp_path.glob("*.partial"))


def test_that_a_backup_is_made_is_recorded_before(deployment: LocalDeployment, tmp_path: Path) -> None:
    made = back_up(deployment, tmp_path, encryption(), with_domain_keys=True)
    (record,) = [each for each in command_records(deployment.folder) if each["eventName"] == "CreateBackup"]
    assert record["serviceEventDetails"] == {
        "file": str(made.path),
        "encryption": "passphrase",
        "withDomainKeys": True,
    }


def test_which_older_ones_go_is_recorded_before(
    deployment: LocalDeployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    first, second = (back_up(deployment, folder, keep=2).path for _ in range(2))
    third = back_up(deployment, folder, keep=2)
    records = [each for each in command_records(deployment.folder) if each["eventName"] == "CreateBackup"]
    assert [each["serviceEventDetails"]["keep"] for each in records] == [2, 2, 2]
    assert records[1]["serviceEventDetails"]["removes"] == {"count": 0, "files": []}
    assert records[2]["serviceEventDetails"]["removes"] == {"count": 1, "files": [first.name]}
    assert third.removed == [first]
    unlink = Path.unlink

    def refuse(path: Path, *, missing_ok: bool = False) -> None:
        if path == second:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(DataFolderError, match="was made, but"):
        back_up(deployment, folder, keep=2)
    last = command_records(deployment.folder)[-1]
    assert (last["eventName"], last["serviceEventDetails"]["left"]["files"]) == ("RemoveBackups", [second.name])
    assert last["errorMessage"]


def test_those_stay_that_were_made_last_also_if_the_clock_was_set_back(
    deployment: LocalDeployment, tmp_path: Path
) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    ahead = [back_up(deployment, folder).path for _ in range(2)]
    deployment.clock.advance(-DAY)
    right = []
    for _ in range(3):
        right.append(back_up(deployment, folder, keep=3).path)
        deployment.clock.advance(60)
    assert sorted(folder.iterdir()) == right
    assert all(each.name > right[-1].name for each in ahead)


def test_its_time_is_before_its_state(
    deployment: LocalDeployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else what was destroyed in between would seem to have been destroyed before."""
    read = SqlStore.read_tables

    def slow(store: SqlStore) -> AbstractContextManager[TableReader]:
        deployment.clock.advance(60)
        return read(store)

    monkeypatch.setattr(SqlStore, "read_tables", slow)
    assert back_up(deployment, tmp_path).signed.manifest.at == NOW


def test_without_keys_it_says_less(deployment: LocalDeployment, tmp_path: Path) -> None:
    made = back_up(deployment, tmp_path)
    found = verify(made.path)
    assert (found.origin, found.content, found.audit_key) == (Origin.UNKNOWN, None, None)


def test_the_public_key_shows_who_made_it(deployment: LocalDeployment, tmp_path: Path, root_key: Path) -> None:
    made = back_up(deployment, tmp_path)
    public = verify(made.path, root_key=root_key).audit_key
    assert verify(made.path, public_key=public).origin is Origin.PUBLIC_KEY
    with pytest.raises(BackupError, match="made elsewhere"):
        verify(made.path, public_key=AuditKey(bytes(32)).public())


def test_the_root_key_of_another_deployment_is_refused(deployment: LocalDeployment, tmp_path: Path) -> None:
    made = back_up(deployment, tmp_path)
    create_root_key(tmp_path / "other.key", entropy)
    with pytest.raises(UnsealError, match="not the root key of the backup"):
        verify(made.path, root_key=tmp_path / "other.key")


def test_one_who_has_the_rows_but_no_key_cannot_make_another_backup(
    deployment: LocalDeployment, tmp_path: Path, root_key: Path
) -> None:
    made = back_up(deployment, tmp_path)
    content = bytearray(made.path.read_bytes())
    place = content.index(b'"release":"') + len(b'"release":"')
    content[place] ^= 1
    (tmp_path / "forged").write_bytes(content)
    verify(tmp_path / "forged")
    with pytest.raises(BackupError, match="no valid signature"):
        verify(tmp_path / "forged", root_key=root_key)


def test_the_root_key_shows_nothing_of_a_backup_without_domain_keys(tmp_path: Path, root_key: Path) -> None:
    (tmp_path / "forged").write_bytes(small_backup())
    assert verify(tmp_path / "forged").origin is Origin.UNKNOWN
    with pytest.raises(BackupError, match="made elsewhere"):
        verify(tmp_path / "forged", root_key=root_key)


def test_material_that_does_not_open_is_named(deployment: LocalDeployment, tmp_path: Path, root_key: Path) -> None:
    key_ids = [deployment.call("CreateKey")["KeyMetadata"]["KeyId"] for _ in range(2)]
    with closing(sqlite3.connect(deployment.folder / "strongroom.db")) as database, database:
        database.execute("UPDATE key_material SET token = zeroblob(77) WHERE key_id = ?", (key_ids[0],))
    found = verify(back_up(deployment, tmp_path).path, root_key=root_key)
    assert found.content is not None
    assert found.content.damaged_count == 1
    assert key_ids[0] in found.content.damaged[0]


def test_an_encrypted_one_shows_nothing_and_opens_with_its_passphrase(
    deployment: LocalDeployment, tmp_path: Path
) -> None:
    key_id = deployment.call("CreateKey")["KeyMetadata"]["KeyId"]
    made = back_up(deployment, tmp_path, encryption(), with_domain_keys=True)
    assert made.path.name.endswith(".backup.age")
    for secret in (key_id, "domain_key", "000000000000"):
        assert secret.encode() not in made.path.read_bytes()
    found = verify(made.path, decryption())
    assert found.content is not None
    assert found.content.opened == 2
    assert found.domain_keys is not None
    assert repr(found.domain_keys[0].key) not in repr(found)
    made.path.write_bytes(made.path.read_bytes()[:-1])
    with pytest.raises(AgeError):
        verify(made.path, decryption())


def test_domain_keys_are_never_written_without_encryption(deployment: LocalDeployment, tmp_path: Path) -> None:
    with pytest.raises(DataFolderError, match="must be encrypted"):
        back_up(deployment, tmp_path, with_domain_keys=True)
    made = back_up(deployment, tmp_path)
    assert not made.signed.manifest.with_domain_keys


def test_a_name_that_is_taken_stays(deployment: LocalDeployment, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(DataFolderError, match="exists already"):
        back_up(deployment, tmp_path / "mine")
    assert (tmp_path / "mine").read_text() == "precious"
    assert back_up(deployment, tmp_path / "other").path == tmp_path / "other"


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_hard_links(
    deployment: LocalDeployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)
    made = back_up(deployment, tmp_path)
    assert verify(made.path).signed == made.signed
    assert not list(tmp_path.glob(".*"))


def test_a_file_that_another_process_removes_before_it_is_locked(
    deployment: LocalDeployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That process looks for files that a killed one has left."""
    removed, lock = list[Path](), fcntl.flock

    def remove_first(descriptor: int, operation: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.parent == tmp_path and not removed:
            removed.append(path)
            path.unlink()
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", remove_first)
    made = back_up(deployment, tmp_path)
    assert verify(made.path).signed == made.signed
    assert len(removed) == 1


def test_an_older_backup_that_cannot_be_removed_does_not_hide_that_the_new_one_was_made(
    deployment: LocalDeployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *, missing_ok: bool = False) -> None:
        if path == older:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        unlink(path, missing_ok=missing_ok)

    older, unlink = back_up(deployment, tmp_path).path, Path.unlink
    deployment.clock.advance(60)
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(DataFolderError, match=r"was made, but an older backup cannot be removed: .*Read-only"):
        back_up(deployment, tmp_path, keep=1)
    assert len(list(tmp_path.glob("*.backup"))) == 2


def test_two_of_one_second_have_two_names(deployment: LocalDeployment, tmp_path: Path) -> None:
    assert len({back_up(deployment, tmp_path).path for _ in range(3)}) == 3


def test_places_where_no_backup_is_made(deployment: LocalDeployment, tmp_path: Path) -> None:
    with pytest.raises(DataFolderError, match="in the data folder"):
        back_up(deployment, deployment.folder / "backup")
    (tmp_path / "link").symlink_to(deployment.folder)
    with pytest.raises(DataFolderError, match="in the data folder"):
        back_up(deployment, tmp_path / "link")
    with pytest.raises(DataFolderError, match="is not a folder"):
        back_up(deployment, tmp_path / "missing" / "backup")


def test_the_oldest_are_removed_after_the_new_one_is_checked(deployment: LocalDeployment, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    made = []
    for _ in range(4):
        made.append(back_up(deployment, folder, keep=2))
        deployment.clock.advance(60)
    assert sorted(folder.iterdir()) == [made[2].path, made[3].path]
    assert list(made[3].removed) == [made[1].path]
    # What does not begin as a backup is not ours to remove, whatever its name.
    made[2].path.write_text("something else")
    (folder / made[0].path.name.replace(made[0].signed.manifest.deployment, "0" * 12)).write_text("of another")
    back_up(deployment, folder, keep=1)
    assert made[2].path.exists()
    assert not made[3].path.exists()
    assert len(list(folder.iterdir())) == 3


def test_what_a_killed_process_left_is_removed_and_what_another_writes_is_not(
    deployment: LocalDeployment, tmp_path: Path
) -> None:
    left = tmp_path / ".strongroom-0123456789ab-20260101T000000Z.backup.partial"
    left.write_text("half")
    other = tmp_path / ".other.partial"
    other.write_text("not ours")
    back_up(deployment, tmp_path)
    assert not left.exists()
    assert other.exists()
    (tmp_path / ".named.partial").write_text("half")
    back_up(deployment, tmp_path / "named")
    assert not (tmp_path / ".named.partial").exists()


class Lost(RecipientEncryption):
    """A disk that loses what it was given last."""

    def __init__(self) -> None:
        super().__init__([])

    @override
    def encrypt(self, source: Readable, target: Writable) -> None:
        super().encrypt(source, target)
        assert isinstance(target, BufferedRandom)
        target.flush()
        os.truncate(target.fileno(), target.tell() - 10)


class Full(RecipientEncryption):
    """A disk that is full."""

    @override
    def encrypt(self, source: Readable, target: Writable) -> None:
        target.write(source.read(100))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_one_line_and_leaves_nothing(deployment: LocalDeployment, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    with pytest.raises(DataFolderError, match=r"backups/new` cannot be written: No space left on device"):
        back_up(deployment, folder / "new", Full([]))
    assert not list(folder.iterdir())


def test_a_file_that_cannot_be_read_back_gets_no_name(deployment: LocalDeployment, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    kept = back_up(deployment, folder)
    with pytest.raises((AgeError, BackupError)):
        back_up(deployment, folder, Lost(), keep=1)
    assert list(folder.iterdir()) == [kept.path]


def test_a_pipe_under_the_name_of_a_hidden_file_is_left_alone(deployment: LocalDeployment, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    pipe = folder / ".strongroom-0123456789ab-20200101T000000Z.backup.partial"
    os.mkfifo(pipe)
    assert back_up(deployment, folder).path.exists()
    assert pipe.is_fifo()
