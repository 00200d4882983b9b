"""Places for a restore: what is filled, what is replaced, and what is refused."""

from pathlib import Path

import pytest

from backup_scene import back_up, reopened, restore
from local_deployment import LocalDeployment
from strongroom.assembly.data_folder import DataFolderError


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
