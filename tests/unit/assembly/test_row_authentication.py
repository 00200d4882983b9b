"""A database of a release whose rows had no codes: each row gets one, once. After that, none may lack it."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from keys_builder import make_key
from local_deployment import entropy
from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.assembly.deployment import Deployment
from strongroom.assembly.open_folder import OpenFolder, open_existing
from strongroom.assembly.record_check import check_records
from strongroom.clock import ManualClock
from strongroom.crypto.binding import binding
from strongroom.crypto.domain_keys import IAM_SCOPE
from strongroom.crypto.material import MaterialBinding
from strongroom.crypto.seal import UnsealError
from strongroom.crypto.seals.file import load_file_seal
from strongroom.errors import QuarantinedIdentityException
from strongroom.keys.arns import AliasLocator
from strongroom.keys.kms_key import KmsKey
from strongroom.problems import Subject
from strongroom.settings import Settings
from strongroom.store.records import AliasRecord
from strongroom.store.sql.row_macs import AUTHENTICATED

NEWER = ("retired_node", "seal_document", "destruction", "xks_proxy_key", "xks_proxy_credential", "xks_proxy")
"""Tables that the release with schema 0011 did not have."""
KEYS = 1200
"""More than are read at once."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=str(tmp_path / "data"))


@pytest.fixture
def keys(settings: Settings, clock: ManualClock) -> list[KmsKey]:
    """Return the keys in a data folder as the release with schema 0011 left it."""
    with Deployment(settings, clock, entropy) as deployment:
        backends = deployment.backends

        def made(number: int) -> KmsKey:
            key = make_key(number, tags=(("b", ""), ("number", f"{number}")))
            (material,) = key.materials
            owner = MaterialBinding(key.account, key.region, key.key_id, material.material_id, key.spec)
            token = backends.key_backends.of(key).generate(owner)
            return replace(key, materials=(replace(material, token=token),))

        keys = [made(number) for number in range(KEYS)]
        backends.store.write(lambda transaction: [transaction.add_key(key) for key in keys])
    _age(settings)
    return keys


def _age(settings: Settings) -> None:
    """Take everything out of a database that the release before this one did not write."""
    folder = DataFolder(settings.folder)
    seal = load_file_seal(folder.root_key, entropy)
    with closing(sqlite3.connect(folder.database)) as connection, connection:
        for newer in NEWER:
            connection.execute(f"DROP TABLE {newer}")
        for table in [each for each in AUTHENTICATED if each.name not in NEWER]:
            connection.execute(f"ALTER TABLE {table.name} DROP COLUMN row_mac")
        connection.execute("ALTER TABLE kms_key DROP COLUMN material_macs")
        connection.execute("ALTER TABLE domain_key DROP COLUMN created_at")
        connection.execute("UPDATE alembic_version SET version_num = '0011'")
        query = "SELECT sealed FROM domain_key WHERE scope = ?"
        (sealed,) = connection.execute(query, (IAM_SCOPE,)).fetchone()
        key = seal.unseal(sealed, binding("domain-key", IAM_SCOPE, "1", "rows-have-codes"))
        old = seal.seal(key, binding("domain-key", IAM_SCOPE, "1"))
        connection.execute("UPDATE domain_key SET sealed = ? WHERE scope = ?", (old, IAM_SCOPE))


def found_in(opened: OpenFolder) -> list[str]:
    return [f"{each.record}: {each.fault}" for each in check_records(opened.store, opened.backends.key_backends)]


def change(settings: Settings, statement: str) -> None:
    with closing(sqlite3.connect(DataFolder(settings.folder).database)) as connection, connection:
        connection.execute(statement)


def test_a_start_adopts_every_row_once(
    settings: Settings, clock: ManualClock, keys: list[KmsKey], caplog: pytest.LogCaptureFixture
) -> None:
    with Deployment(settings, clock, entropy) as deployment:
        assert caplog.text.count("are authenticated from now on") == 1
        with deployment.backends.store.read() as reader:
            assert [reader.key(key.locator) for key in keys] == keys
    with closing(open_existing(settings, clock, entropy)) as opened:
        assert found_in(opened) == []
    assert caplog.text.count("are authenticated from now on") == 1


@pytest.mark.usefixtures("keys")
def test_a_command_adopts_them_too_and_refuses_while_a_server_has_them(settings: Settings, clock: ManualClock) -> None:
    folder = DataFolder(settings.folder)
    with closing(open_existing(settings, clock, entropy)) as opened:
        assert found_in(opened) == []
        assert len(opened.accounts()) == 1
    _age(settings)
    lock = folder.lock()
    with pytest.raises(DataFolderError, match="a server of another release is using"):
        open_existing(settings, clock, entropy)
    os.close(lock)


@pytest.mark.usefixtures("keys")
def test_a_row_without_a_code_is_refused_afterwards(settings: Settings, clock: ManualClock) -> None:
    Deployment(settings, clock, entropy).close()
    change(settings, "UPDATE account SET row_mac = NULL")
    change(settings, "UPDATE kms_key SET row_mac = NULL, material_macs = NULL WHERE key_id LIKE '00000007%'")
    with closing(open_existing(settings, clock, entropy)) as opened:
        assert len(found_in(opened)) == 2
        with opened.store.read() as reader, pytest.raises(QuarantinedIdentityException):
            reader.account(settings.account)
    # All else is served.
    Deployment(settings, clock, entropy).close()


def test_material_that_does_not_unwrap_is_found(settings: Settings, clock: ManualClock, keys: list[KmsKey]) -> None:
    """The release before wrote it like that, so its row is authentic."""
    change(settings, "UPDATE key_material SET token = x'00' WHERE key_id LIKE '00000007%'")
    Deployment(settings, clock, entropy).close()
    with closing(open_existing(settings, clock, entropy)) as opened:
        (found,) = found_in(opened)
    assert keys[7].materials[0].material_id in found
    assert "cannot be unwrapped" in found


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize(
    ("scope", "statement"),
    [
        ("iam", "DELETE FROM domain_key WHERE scope = 'iam'"),
        ("us-east-1", "DELETE FROM domain_key WHERE scope = 'us-east-1'"),
    ],
)
def test_a_lost_domain_key_is_not_made_anew(scope: str, statement: str, settings: Settings, clock: ManualClock) -> None:
    Deployment(settings, clock, entropy).close()
    change(settings, statement)
    with pytest.raises(DataFolderError, match=f"has lost its domain key `{scope}`; restore it"):
        Deployment(settings, clock, entropy)


@pytest.mark.parametrize("also", [(), ("DELETE FROM audit_checkpoint",)], ids=["alone", "with the checkpoints"])
def test_a_lost_audit_key_is_not_made_anew(settings: Settings, clock: ManualClock, also: tuple[str, ...]) -> None:
    made = Deployment(settings, clock, entropy)
    made.log.append(b"{}")
    made.log.checkpoint()
    made.close()
    for statement in ("DELETE FROM audit_key", *also):
        change(settings, statement)
    with pytest.raises(UnsealError, match="has lost its audit key; restore it"):
        Deployment(settings, clock, entropy)


def test_a_row_that_no_call_reads_is_quarantined_at_the_start(
    settings: Settings, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """An alias that was moved to another Region is not found where it belongs, so that no call would meet it."""
    with Deployment(settings, clock, entropy) as deployment:
        key = make_key(1)
        deployment.backends.store.write(lambda transaction: transaction.add_key(key))
        named = AliasRecord(AliasLocator(key.account, key.region, "alias/name"), key.key_id, clock.now(), clock.now())
        deployment.backends.store.write(lambda transaction: transaction.add_alias(named, 10))
        deployment.chores()
        assert not deployment.problems.current()
    with closing(sqlite3.connect(DataFolder(settings.folder).database)) as connection, connection:
        connection.execute("UPDATE alias SET region = 'eu-west-1'")
    with Deployment(settings, clock, entropy) as deployment:
        deployment.chores()
        assert "alias/name" in caplog.text
        assert [problem.subject for problem in deployment.problems.current()] == [Subject.ROWS]


def test_a_damaged_access_key_of_the_credentials_file_does_not_prevent_a_start(
    settings: Settings, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    with Deployment(settings, clock, entropy):
        pass
    with closing(sqlite3.connect(DataFolder(settings.folder).database)) as connection, connection:
        connection.execute("UPDATE access_key SET created_at = created_at + 1")
    with Deployment(settings, clock, entropy):
        assert "has a damaged record in the database; for a new one, run: strongroom account root-key" in caplog.text


def test_a_damaged_audit_key_is_named(settings: Settings, clock: ManualClock) -> None:
    with Deployment(settings, clock, entropy):
        pass
    with closing(sqlite3.connect(DataFolder(settings.folder).database)) as connection, connection:
        (wrapped,) = connection.execute("SELECT wrapped_secret FROM audit_key").fetchone()
        connection.execute("UPDATE audit_key SET wrapped_secret = ?", (wrapped[:-1] + bytes([wrapped[-1] ^ 1]),))
    with pytest.raises(UnsealError, match=r"the audit key in the database is damaged"):
        Deployment(settings, clock, entropy)


@pytest.mark.usefixtures("keys")
def test_lost_accounts_are_not_made_anew(settings: Settings, clock: ManualClock) -> None:
    Deployment(settings, clock, entropy).close()
    change(settings, "DELETE FROM account")
    (DataFolder(settings.folder).credentials).unlink()
    with pytest.raises(DataFolderError, match="has keys and no account: its accounts are lost; restore it"):
        Deployment(settings, clock, entropy)
