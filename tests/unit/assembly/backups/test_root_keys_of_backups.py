"""What opens a backup of a deployment with seals, and what opens the deployment that is restored from it."""

import base64
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from audits import command_records
from backup_scene import back_up, decryption, encryption, reopened, restore, verify
from local_deployment import LocalDeployment, entropy
from strongroom.assembly.backups.root_key_source import RootKeyKind
from strongroom.assembly.backups.streams import plaintext_of
from strongroom.assembly.backups.verification import Origin
from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.assembly.open_folder import open_existing
from strongroom.assembly.seals import Seals
from strongroom.clock import ManualClock
from strongroom.crypto.seal import SealUnavailableError, UnsealError

TEXT = base64.b64encode(b"secret").decode()


class Cloud:
    """A KMS service, which keeps what it is given as long as it is there."""

    failure: Exception | None = None
    kept: dict[bytes, bytes] = {}  # noqa: RUF012 - one service

    def __init__(self, _parameters: Mapping[str, str | int], deployment: str) -> None:
        self._deployment = deployment.encode()

    def wrap(self, root_key: bytes, binding: bytes) -> bytes:
        """Keep a root key; return its name."""
        self.kept[name := entropy(16)] = binding + root_key
        return name

    def unwrap(self, wrapped: bytes, binding: bytes) -> bytes:
        """Return a root key that was kept for ``binding``."""
        if self.failure is not None:
            raise self.failure
        return self.kept[wrapped].removeprefix(binding)


@pytest.fixture(autouse=True)
def cloud(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Cloud, "failure", None)
    monkeypatch.setattr("strongroom.assembly.unsealing.KmsKeeper", Cloud)
    # A key file with the right name in the current folder would hide that none is given.
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[LocalDeployment]:
    made = LocalDeployment(tmp_path / "data", ManualClock(time.time()))  # noqa: TID251 - files have the real time
    made.call("CreateKey")
    yield made
    made.deployment.close()


def change(deployment: LocalDeployment, *changes: Callable[[Seals], object]) -> None:
    for act in changes:
        with closing(open_existing(deployment.settings, deployment.clock, entropy)) as folder:
            act(folder.seals)


def add_cloud(seals: Seals) -> None:
    seals.add("cloud", "kms", {"key-id": "alias/seal", "region": "us-east-1"}, None)


def rotate(seals: Seals) -> None:
    seals.rotate()


def remove_file(seals: Seals) -> None:
    seals.remove("file")


def blob_of(deployment: LocalDeployment) -> str:
    key_id = deployment.call("CreateKey")["KeyMetadata"]["KeyId"]
    blob: str = deployment.call("Encrypt", KeyId=key_id, Plaintext=TEXT)["CiphertextBlob"]
    return blob


def opens(deployment: LocalDeployment, data: Path, blob: str) -> bool:
    other = reopened(deployment, data)
    with closing(other.deployment):
        return bool(other.call("Decrypt", CiphertextBlob=blob)["Plaintext"] == TEXT)


def key_files(data: Path) -> list[str]:
    return [each.name for each in DataFolder(data).key_files()]


LOST: dict[str, tuple[Callable[[Seals], object], ...]] = {
    "a rotated key file": (rotate,),
    "a KMS key": (add_cloud, remove_file),
    "a key file and a KMS key": (add_cloud,),
}


@pytest.mark.parametrize(
    "failure", [UnsealError("it is disabled"), SealUnavailableError("it does not answer")], ids=str
)
@pytest.mark.parametrize("seals", LOST)
def test_a_backup_with_domain_keys_is_restored_when_every_seal_is_lost(
    seals: str, failure: Exception, deployment: LocalDeployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(deployment, *LOST[seals])
    blob = blob_of(deployment)
    made = back_up(deployment, tmp_path / "backup", encryption(), with_domain_keys=True)
    without = back_up(deployment, tmp_path / "without", encryption())
    monkeypatch.setattr(Cloud, "failure", failure)
    restored = restore(deployment, made, tmp_path / "new", root_key=False, decryption=decryption())
    assert restored.root_key.kind is RootKeyKind.NEW
    assert restored.root_key.closed_seals
    assert key_files(tmp_path / "new") == ["root.key"]
    assert not (tmp_path / "new" / "seal.json").exists()
    assert opens(deployment, tmp_path / "new", blob)
    (record, *_) = command_records(tmp_path / "new")
    assert record["serviceEventDetails"]["rootKey"] == "new"
    with pytest.raises((UnsealError, SealUnavailableError)):
        restore(deployment, without, tmp_path / "third", root_key=False, decryption=decryption())


def test_seals_that_open_are_restored_although_the_backup_has_the_domain_keys(
    deployment: LocalDeployment, tmp_path: Path
) -> None:
    change(deployment, add_cloud)
    blob = blob_of(deployment)
    made = back_up(deployment, tmp_path / "backup", encryption(), with_domain_keys=True)
    restored = restore(deployment, made, tmp_path / "new", root_key=False, decryption=decryption())
    assert (restored.root_key.kind, restored.root_key.closed_seals) == (RootKeyKind.SEALED, "")
    assert restored.root_key.without_key_file == {"file": "root.key"}
    assert key_files(tmp_path / "new") == []
    assert opens(deployment, tmp_path / "new", blob)


def test_lost_seals_do_not_show_who_made_a_backup(
    deployment: LocalDeployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(deployment, add_cloud)
    made = back_up(deployment, tmp_path / "backup", encryption(), with_domain_keys=True)
    monkeypatch.setattr(Cloud, "failure", UnsealError("it is disabled"))
    # As the program age leaves it: anyone who knows a recipient could have made it.
    with made.path.open("rb") as file, plaintext_of(file, decryption()) as read, (tmp_path / "plain").open("wb") as to:
        while part := read(1 << 20):
            to.write(part)
    plain = replace(made, path=tmp_path / "plain")
    with pytest.raises(DataFolderError, match=r"no seal in it opens \(seal 'cloud': it is disabled; or give a copy"):
        restore(deployment, plain, tmp_path / "new", root_key=False)
    found = verify(plain.path)
    assert (found.origin, found.content is None) == (Origin.UNKNOWN, False)
    public_key = found.audit_key
    restore(deployment, plain, tmp_path / "new", root_key=False, audit_public_key=public_key)


def test_a_key_file_that_does_not_open_is_refused_although_another_seal_opens(
    deployment: LocalDeployment, tmp_path: Path
) -> None:
    stale = tmp_path / "safe.key"
    stale.write_bytes((deployment.folder / "root.key").read_bytes())
    stale.chmod(0o600)
    change(deployment, add_cloud, rotate)
    made = back_up(deployment, tmp_path / "backup")
    with pytest.raises(UnsealError, match=r"safe.key` does not open it.*at the time of the backup"):
        verify(made.path, root_key=stale)
    with pytest.raises(UnsealError, match="does not open it"):
        restore(deployment, made, tmp_path / "new", root_key=stale)
    assert not (tmp_path / "new").exists()
    change(deployment, remove_file)
    made = back_up(deployment, tmp_path / "second")
    with pytest.raises(UnsealError, match=r"no seal that the key file .* opens; leave out --root-key"):
        verify(made.path, root_key=stale)


@pytest.mark.parametrize("name", ["root.key", "kept.json", "seal.json"])
def test_a_key_file_is_known_by_its_content(name: str, deployment: LocalDeployment, tmp_path: Path) -> None:
    change(deployment, add_cloud, rotate)
    blob = blob_of(deployment)
    made = back_up(deployment, tmp_path / "backup")
    kept = tmp_path / "safe" / name
    kept.parent.mkdir()
    kept.write_bytes((deployment.folder / "root-2.key").read_bytes())
    kept.chmod(0o600)
    assert verify(made.path, root_key=kept).origin is Origin.ROOT_KEY
    restored = restore(deployment, made, tmp_path / "new", root_key=kept)
    assert (restored.root_key.kind, restored.root_key.without_key_file) == (RootKeyKind.GIVEN, {})
    assert (tmp_path / "new" / "root-2.key").read_bytes() == kept.read_bytes()
    Cloud.failure = UnsealError("it is gone")
    assert opens(deployment, tmp_path / "new", blob)


@pytest.mark.parametrize("name", ["seal.json", "seal.bak", "seal.json.2026-11", "root.key"])
@pytest.mark.parametrize("is_stale", [False, True])
def test_a_seal_document_is_known_by_its_content_and_only_a_key_file_that_opens_is_copied(
    name: str, deployment: LocalDeployment, tmp_path: Path, *, is_stale: bool
) -> None:
    before = (deployment.folder / "root.key").read_bytes()
    change(deployment, add_cloud, rotate)
    blob = blob_of(deployment)
    made = back_up(deployment, tmp_path / "backup")
    kept = tmp_path / "safe" / name
    kept.parent.mkdir()
    kept.write_bytes((deployment.folder / "seal.json").read_bytes())
    beside = kept.parent / "root-2.key"
    beside.write_bytes(before if is_stale else (deployment.folder / "root-2.key").read_bytes())
    beside.chmod(0o600)
    assert verify(made.path, root_key=kept).origin is Origin.ROOT_KEY
    restored = restore(deployment, made, tmp_path / "new", root_key=kept)
    assert restored.root_key.without_key_file == ({"file": "root-2.key"} if is_stale else {})
    assert key_files(tmp_path / "new") == ([] if is_stale else ["root-2.key"])
    assert opens(deployment, tmp_path / "new", blob)


def test_a_file_that_is_neither_is_refused(deployment: LocalDeployment, tmp_path: Path) -> None:
    made = back_up(deployment, tmp_path / "backup")
    (tmp_path / "notes.txt").write_text("{}")
    with pytest.raises(UnsealError, match=r"notes.txt` is neither a key file nor a seal document; give"):
        verify(made.path, root_key=tmp_path / "notes.txt")
    change(deployment, rotate)
    made = back_up(deployment, tmp_path / "second")
    with pytest.raises(UnsealError, match=r"give a copy of the key file `root-2.key` with --root-key"):
        restore(deployment, made, tmp_path / "new", root_key=False)
