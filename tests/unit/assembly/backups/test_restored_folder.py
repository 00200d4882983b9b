"""Places for a restore: what is filled, what is replaced, and what is refused."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from backup_scene import back_up, reopened, restore
from local_deployment import LocalDeployment
from strongroom.assembly.data_folder import DataFolderError

OTHER_USER = 65534


def test_the_root_folder_is_no_empty_place(deployment: LocalDeployment, tmp_path: Path) -> None:
    made = back_up(deployment, tmp_path)
    with pytest.raises(DataFolderError, match="`/` is not empty"):
        restore(deployment, made, Path("/"))


@pytest.mark.parametrize("content", ["strongroom.db", "notes.txt", ".hidden"])
def test_only_an_empty_place_is_filled(content: str, deployment: LocalDeployment, tmp_path: Path) -> None:
    made = back_up(deployment, tmp_path)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / content).write_text("precious")
    with pytest.raises(DataFolderError, match="is not empty"):
        restore(deployment, made, tmp_path / "new")
    assert (tmp_path / "new" / content).read_text() == "precious"
    (tmp_path / "new" / content).unlink()
    restore(deployment, made, tmp_path / "new")


def test_places_that_cannot_be_filled(deployment: LocalDeployment, tmp_path: Path) -> None:
    made = back_up(deployment, tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "file").write_text("")
    for place in ("link", "file"):
        with pytest.raises(DataFolderError, match="is not a folder"):
            restore(deployment, made, tmp_path / place)
    with pytest.raises(DataFolderError, match="does not exist"):
        restore(deployment, made, tmp_path / "missing" / "new")


def test_a_place_that_cannot_be_replaced_is_filled(
    deployment: LocalDeployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_id = deployment.call("CreateKey")["KeyMetadata"]["KeyId"]
    made = back_up(deployment, tmp_path)
    (tmp_path / "new" / "lost+found").mkdir(parents=True)
    monkeypatch.setattr(Path, "is_mount", lambda path: path == tmp_path / "new")
    restore(deployment, made, tmp_path / "new")
    restored = reopened(deployment, tmp_path / "new")
    assert restored.call("DescribeKey", KeyId=key_id)["KeyMetadata"]["KeyState"] == "Enabled"
    restored.deployment.close()
    assert not (tmp_path / "new" / ".restoring").exists()


def test_the_current_folder_is_filled_and_not_replaced(
    deployment: LocalDeployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_id = deployment.call("CreateKey")["KeyMetadata"]["KeyId"]
    made = back_up(deployment, tmp_path)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    inode = here.stat().st_ino
    restore(deployment, made, here)
    assert here.stat().st_ino == inode
    assert (Path() / "strongroom.db").exists()
    restored = reopened(deployment, here)
    assert restored.call("DescribeKey", KeyId=key_id)["KeyMetadata"]["KeyState"] == "Enabled"
    restored.deployment.close()


@pytest.fixture
def var() -> Iterator[Path]:
    """Return a folder that every user may enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextmanager
def as_the_server(var: Path, *own: Path) -> Iterator[None]:
    """Become a user who may change folders of its own, and not the one that they are in."""
    user = os.geteuid()
    if user == 0:
        for each in own:
            for path in (each, *each.rglob("*")):
                os.chown(path, OTHER_USER, OTHER_USER)
    var.chmod(0o555)
    if user == 0:
        os.seteuid(OTHER_USER)
    try:
        yield
    finally:
        os.seteuid(user)
        var.chmod(0o755)


def test_a_folder_in_one_that_this_user_may_not_change_is_filled(
    deployment: LocalDeployment, var: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the state directory of a service: /var/lib belongs to root."""
    data, safe = var / "strongroom", var / "safe"
    data.mkdir(mode=0o755)
    safe.mkdir()
    made = back_up(deployment, safe / "backup")
    key = shutil.copy(deployment.folder / "root.key", safe / "root.key")
    inode = data.stat().st_ino
    monkeypatch.chdir("/")
    with as_the_server(var, data, safe):
        restored = restore(deployment, made, data, root_key=Path(key))
        assert restored.content.damaged_count == 0
        names = {each.name for each in data.iterdir()}
        assert {"strongroom.db", "root.key", "node-id", "audit"} <= names
        assert not [each for each in names if each.startswith(".")]
        assert data.stat().st_ino == inode


def test_places_in_which_this_user_cannot_make_the_files_of_a_server(
    deployment: LocalDeployment, var: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, safe = var / "strongroom", var / "safe"
    for each in (data, safe):
        each.mkdir()
    made = back_up(deployment, safe / "backup")
    monkeypatch.chdir("/")
    with as_the_server(var, data, safe):
        with pytest.raises(DataFolderError, match=rf"`{var}` cannot be changed by .*; make `{var}/new` first"):
            restore(deployment, made, var / "new", root_key=safe / "root.key")
        data.chmod(0o555)
        with pytest.raises(DataFolderError, match=rf"`{data}` cannot be changed by .*; run this as user"):
            restore(deployment, made, data, root_key=safe / "root.key")
        data.chmod(0o755)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_root_does_not_fill_a_folder_of_the_server_with_files_of_its_own(
    deployment: LocalDeployment, tmp_path: Path
) -> None:
    made = back_up(deployment, tmp_path)
    data = tmp_path / "new"
    data.mkdir()
    os.chown(data, OTHER_USER, OTHER_USER)
    with pytest.raises(DataFolderError, match=r"`.*/new` belongs to user \w+; run this as user \w+$"):
        restore(deployment, made, data)
    assert data.stat().st_uid == OTHER_USER
    assert list(data.iterdir()) == []


@pytest.mark.parametrize("note", [b"", b'{"database":"d","digest":"old"}', b"\xff"])
def test_the_note_of_another_release_is_called_that(note: bytes, deployment: LocalDeployment, tmp_path: Path) -> None:
    """It says that a database may have everything already, so it is not passed over."""
    made = back_up(deployment, tmp_path)
    (tmp_path / ".new.restoring").mkdir()
    left = tmp_path / ".new.restoring.filled"
    left.write_bytes(note)
    with pytest.raises(DataFolderError) as refused:
        restore(deployment, made, tmp_path / "new")
    assert str(refused.value) == (
        f"`{left}` is the note of a restore by another release, which was interrupted when it was almost complete, and "
        "this one cannot read it; run that command again with that release, or remove the file to give it up"
    )
    assert left.read_bytes() == note
    left.unlink()
    restore(deployment, made, tmp_path / "new")
