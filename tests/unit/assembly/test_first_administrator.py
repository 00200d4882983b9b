"""Access keys of an administrator that must not become the root's, nor have the root's in their place."""

from contextlib import closing
from pathlib import Path

import pytest

from local_deployment import entropy
from strongroom.assembly.credentials import add_profile, long_term_keys
from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.assembly.deployment import Deployment, ready_folder
from strongroom.assembly.open_folder import open_existing
from strongroom.clock import ManualClock
from strongroom.crypto.access_keys import new_access_key
from strongroom.iam.entities import User
from strongroom.settings import Settings
from strongroom.store.scopes import AccountScope

ACCOUNT = "000000000000"


def test_the_access_key_of_the_administrator_does_not_become_the_roots(tmp_path: Path, clock: ManualClock) -> None:
    settings = Settings(data=str(tmp_path / "data"))
    folder = DataFolder(settings.folder)
    settings.folder.mkdir(mode=0o700)
    for file in (folder.root_credentials, folder.credentials):
        add_profile(file, "default", new_access_key("AKIA", entropy, ACCOUNT))
    with pytest.raises(DataFolderError, match=r"was interrupted; run again: strongroom init --admin"):
        Deployment(settings, clock, entropy)
    ready_folder(settings, clock, entropy, administrator="ops")
    of_administrator = long_term_keys(folder.credentials)["default"].access_key_id
    with closing(open_existing(settings, clock, entropy)) as opened, opened.store.read() as reader:
        user = reader.entity(User, ACCOUNT, "ops")
        assert user is not None
        record = reader.access_key(of_administrator)
        assert record is not None
        assert record.principal == user.unique_id


def test_the_root_gets_no_place_of_an_administrator_whose_access_key_is_gone(
    tmp_path: Path, clock: ManualClock
) -> None:
    settings = Settings(data=str(tmp_path / "data"))
    settings.folder.mkdir(mode=0o700)
    ready_folder(settings, clock, entropy, administrator="ops")
    folder = DataFolder(settings.folder)
    before = folder.credentials.read_bytes()
    with closing(open_existing(settings, clock, entropy)) as opened:
        with opened.store.read() as reader:
            user = reader.entity(User, ACCOUNT, "ops")
        assert user is not None
        opened.store.write(
            lambda transaction: transaction.remove_access_keys(ACCOUNT, user.unique_id), AccountScope(ACCOUNT)
        )
        folder.root_credentials.unlink()
        made = opened.root_keys.create(ACCOUNT)
    assert made.file == folder.root_credentials
    assert folder.credentials.read_bytes() == before
