"""A credentials file that cannot be read or written refuses what would add to it, and stops no deletion."""

import errno
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from audits import command_records
from local_deployment import LocalDeployment, entropy
from strongroom.assembly.credentials import long_term_keys
from strongroom.assembly.data_folder import DataFolderError
from strongroom.assembly.open_folder import OpenFolder, open_existing
from strongroom.clock import ManualClock

ACCOUNT, SERVICE = "000000000000", "backup.amazonaws.com"


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[OpenFolder]:
    local = LocalDeployment(tmp_path / "data", ManualClock(1_790_000_000.0))
    local.deployment.close()
    with closing(open_existing(local.settings, local.clock, entropy)) as opened:
        opened.registrar.create_service(SERVICE)
        yield opened


def with_another_encoding(opened: OpenFolder) -> None:
    path = opened.folder.credentials
    path.write_bytes("# clé\n".encode("latin-1") + path.read_bytes())


def with_a_folder_in_its_place(opened: OpenFolder) -> None:
    opened.folder.credentials.unlink()
    opened.folder.credentials.mkdir()


def not_writable(opened: OpenFolder) -> None:
    opened.folder.credentials.with_name("credentials.new").mkdir()


ADDITIONS: dict[str, Callable[[OpenFolder], object]] = {
    "account create": lambda opened: opened.registrar.create_account("111122223333", "us-east-1", "111122223333"),
    "service create": lambda opened: opened.registrar.create_service("new.amazonaws.com"),
    "account root-key": lambda opened: opened.root_keys.create(ACCOUNT),
    "account root-key --replace": lambda opened: opened.root_keys.create(ACCOUNT, replace=True),
}


@pytest.mark.parametrize("change", [with_another_encoding, with_a_folder_in_its_place])
@pytest.mark.parametrize("add", ADDITIONS)
def test_what_would_add_to_it_is_refused_before_it_is_recorded(
    opened: OpenFolder, change: Callable[[OpenFolder], None], add: str
) -> None:
    change(opened)
    before = opened.store.version()
    with pytest.raises(DataFolderError, match=f"`{opened.folder.credentials}` (is not in UTF-8|cannot be read)"):
        ADDITIONS[add](opened)
    assert opened.store.version() == before
    assert [each["eventName"] for each in command_records(opened.folder.path)] == ["CreateService"]


@pytest.mark.parametrize("change", [with_another_encoding, with_a_folder_in_its_place, not_writable])
def test_a_service_ends_also_if_its_profile_stays(
    opened: OpenFolder, caplog: pytest.LogCaptureFixture, change: Callable[[OpenFolder], None]
) -> None:
    change(opened)
    opened.registrar.delete_service(SERVICE)
    assert opened.registrar.services() == []
    (warning,) = caplog.messages
    path = opened.folder.credentials
    assert f"profile {SERVICE} has no access key that works any more, but is still in `{path}`: " in warning
    assert warning.endswith("; remove it there")
    records = command_records(opened.folder.path)
    assert [(each["eventName"], "errorCode" in each) for each in records] == [
        ("CreateService", False),
        ("DeleteService", False),
    ]


def test_root_access_keys_are_replaced_also_if_an_old_profile_stays(
    opened: OpenFolder, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("strongroom.assembly.registrar.remove_profile", full)
    (before,) = opened.root_keys.accounts()[0].keys
    made = opened.root_keys.create(ACCOUNT, replace=True)
    assert [each.access_key_id for each in opened.root_keys.accounts()[0].keys] == [made.access_key_id]
    assert made.kept_as == f"default-{before.access_key_id}"
    assert made.kept_as in long_term_keys(opened.folder.credentials)
    assert f"profile {made.kept_as} has no access key that works any more" in caplog.text
    assert "No space left on device (`" in caplog.text
    assert not any("errorCode" in each for each in command_records(opened.folder.path))
