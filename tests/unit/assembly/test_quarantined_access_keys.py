"""Access keys of roots and services whose rows were changed stop no start, and commands give their owners others."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from audits import command_records
from local_deployment import entropy
from strongroom.assembly.credentials import long_term_keys
from strongroom.assembly.data_folder import DataFolderError
from strongroom.assembly.deployment import Deployment
from strongroom.assembly.open_folder import open_existing
from strongroom.clock import ManualClock
from strongroom.settings import Settings


@pytest.fixture
def settings(tmp_path: Path, clock: ManualClock) -> Settings:
    """Return a data folder in which the root access key was changed."""
    settings = Settings(data=str(tmp_path / "data"))
    Deployment(settings, clock, entropy).close()
    damage(settings)
    return settings


def damage(settings: Settings) -> None:
    with closing(sqlite3.connect(settings.folder / "strongroom.db")) as database, database:
        database.execute("UPDATE access_key SET active = 1 - active")


def test_it_stops_no_start(settings: Settings, clock: ManualClock, caplog: pytest.LogCaptureFixture) -> None:
    Deployment(settings, clock, entropy).close()
    assert "profile default in" in caplog.text
    assert "has a damaged record in the database; for a new one, run: strongroom account root-key" in caplog.text


def test_the_account_gets_another_one(settings: Settings, clock: ManualClock) -> None:
    credentials = settings.folder / "credentials"
    (before,) = long_term_keys(credentials).values()
    with closing(open_existing(settings, clock, entropy)) as opened:
        made = opened.root_keys.create(settings.account)
        assert [len(each.keys) for each in opened.root_keys.accounts()] == [1]
        (problem,) = opened.profiles.problems()
    assert before.access_key_id in problem
    profiles = long_term_keys(credentials)
    assert profiles["default"].access_key_id == made.access_key_id
    assert profiles[f"default-{before.access_key_id}"] == before


def test_two_of_them_are_replaced_on_demand(settings: Settings, clock: ManualClock) -> None:
    with closing(open_existing(settings, clock, entropy)) as opened:
        opened.root_keys.create(settings.account)
    damage(settings)
    with closing(open_existing(settings, clock, entropy)) as opened:
        with pytest.raises(DataFolderError, match=r"\(failed authentication\)"):
            opened.root_keys.create(settings.account)
        made = opened.root_keys.create(settings.account, replace=True)
        ((only,),) = [each.keys for each in opened.root_keys.accounts()]
        assert only.access_key_id == made.access_key_id
        assert not any(made.access_key_id in each for each in opened.profiles.problems())
    record = command_records(settings.folder)[-1]
    assert len(record["serviceEventDetails"]["deletedAccessKeyIds"]) == 2


def test_that_of_a_service_can_be_replaced(settings: Settings, clock: ManualClock) -> None:
    name = "backup.amazonaws.com"
    with closing(open_existing(settings, clock, entropy)) as opened:
        opened.registrar.create_service(name)
    damage(settings)
    with closing(open_existing(settings, clock, entropy)) as opened:
        assert any(f"strongroom service delete {name}" in each for each in opened.profiles.problems())
        opened.registrar.delete_service(name)
        opened.registrar.create_service(name)
        assert [each.principal for each in opened.registrar.services()] == [name]
