"""The position of a database rises with every change that is acknowledged, so that a lost one is noticed."""

import inspect
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from grants_builder import make_grant
from keys_builder import NOW, make_key
from strongroom.audit.database_history import DatabasePosition
from strongroom.crypto.seal import SealedDomainKey
from strongroom.iam.entities import User
from strongroom.keys.arns import AliasLocator
from strongroom.keys.custom_key_stores import CustomKeyStore, CustomKeyStoreType
from strongroom.store.protocol import Reader, Store, Transaction
from strongroom.store.records import AccessKeyRecord, AccountRecord, AliasRecord
from strongroom.store.sqlite.engine import open_sqlite
from strongroom.store.sqlite.schema_version import upgrade
from strongroom.store.sqlite.store import SqlStore
from xks_records import CREDENTIAL, PROXY, XKS_KEY

Act = Callable[[Transaction], object]

key = make_key(1)
alias = AliasRecord(AliasLocator(key.account, key.region, "alias/x"), key.key_id, NOW, NOW)
grant = make_grant()
alice = User(account=key.account, name="Alice", unique_id="AIDAALICE", created_at=NOW, path="/")
account = AccountRecord(key.account, NOW)
access_key = AccessKeyRecord("AKIA1", key.account, "AIDAALICE", b"secret", active=True, created_at=NOW)
custom = CustomKeyStore(
    account=key.account,
    region=key.region,
    store_id="cks-1",
    name="one",
    type=CustomKeyStoreType.AWS_CLOUDHSM,
    created_at=NOW,
    wrapped_secret=b"wrapped",
)
proxy, credential, outside = PROXY, CREDENTIAL, XKS_KEY
domain_key = SealedDomainKey("us-east-1", 1, b"sealed")

# For each write, the writes before it, and itself.
WRITES: dict[str, list[Act]] = {
    "add_key": [lambda t: t.add_key(key)],
    "save_key": [lambda t: t.add_key(key), lambda t: t.save_key(key, replace(key, description="new"))],
    "erase_key": [lambda t: t.add_key(key), lambda t: t.erase_key(key)],
    "erase_damaged_key": [lambda t: t.add_key(key), lambda t: t.erase_damaged_key(key.locator)],
    "add_alias": [lambda t: t.add_key(key), lambda t: t.add_alias(alias, 50)],
    "put_alias": [lambda t: t.add_key(key), lambda t: t.put_alias(alias, None)],
    "remove_alias": [lambda t: t.add_key(key), lambda t: t.put_alias(alias, None), lambda t: t.remove_alias(alias)],
    "add_grant": [lambda t: t.add_key(key), lambda t: t.add_grant(grant)],
    "remove_grant": [lambda t: t.add_key(key), lambda t: t.add_grant(grant), lambda t: t.remove_grant(grant)],
    "put_entity": [lambda t: t.put_entity(alice)],
    "remove_entity": [lambda t: t.put_entity(alice), lambda t: t.remove_entity(alice)],
    "add_account": [lambda t: t.add_account(account)],
    "save_account": [lambda t: t.add_account(account), lambda t: t.save_account(replace(account, alias="x"))],
    "add_access_key": [lambda t: t.add_access_key(access_key)],
    "set_access_key_active": [
        lambda t: t.add_access_key(access_key),
        lambda t: t.set_access_key_active(access_key, active=False),
    ],
    "remove_access_keys": [
        lambda t: t.add_access_key(access_key),
        lambda t: t.remove_access_keys(access_key.account, access_key.principal),
    ],
    "remove_access_key": [lambda t: t.add_access_key(access_key), lambda t: t.remove_access_key(access_key)],
    "add_domain_key": [lambda t: t.add_domain_key(domain_key)],
    "remove_domain_key": [lambda t: t.add_domain_key(domain_key), lambda t: t.remove_domain_key(domain_key)],
    "rewrap_access_key": [
        lambda t: t.add_access_key(access_key),
        lambda t: t.rewrap_access_key(access_key, b"wrapped anew"),
    ],
    "put_custom_key_store": [lambda t: t.put_custom_key_store(custom)],
    "remove_custom_key_store": [lambda t: t.put_custom_key_store(custom), lambda t: t.remove_custom_key_store(custom)],
    "add_xks_proxy": [lambda t: t.add_xks_proxy(proxy)],
    "remove_xks_proxy": [lambda t: t.add_xks_proxy(proxy), lambda t: t.remove_xks_proxy(proxy)],
    "add_xks_credential": [lambda t: t.add_xks_proxy(proxy), lambda t: t.add_xks_credential(credential)],
    "remove_xks_credential": [
        lambda t: t.add_xks_proxy(proxy),
        lambda t: t.add_xks_credential(credential),
        lambda t: t.remove_xks_credential(credential),
    ],
    "rewrap_xks_credential": [
        lambda t: t.add_xks_proxy(proxy),
        lambda t: t.add_xks_credential(credential),
        lambda t: t.rewrap_xks_credential(credential, b"anew"),
    ],
    "add_xks_key": [lambda t: t.add_xks_proxy(proxy), lambda t: t.add_xks_key(outside)],
    "remove_xks_key": [
        lambda t: t.add_xks_proxy(proxy),
        lambda t: t.add_xks_key(outside),
        lambda t: t.remove_xks_key(outside),
    ],
}

NOT_COUNTED = {
    "add_destruction": "what it is part of, or announces, is counted",
    "defer_destruction": "it is tried sooner",
    "withdraw_destruction": "what gets the object is stored in the same transaction",
    "remove_destruction": "what is destroyed already is destroyed again, which does nothing",
    "note_key_uses": "the audit log has the uses",
    "note_access_key_use": "a crash may lose the last minute",
    "note_principal_uses": "a crash may lose the last minute",
    "put_credential_report": "it can be made again",
    "put_last_accessed_job": "it can be made again",
    "rewrap_audit_key": "an older copy of it opens as long as its domain key is there, which is counted",
    "renew_codes": "the rows say what they said before; the end of the domain key that made the old codes is counted",
    "put_seal_document": "domain keys that its root key does not open are found at the next start",
    "add_audit_key": "verification of the log needs it, and finds it missing",
    "put_audit_mark": "the log is read from an earlier place",
    "retire_node": "the audit log states it",
    "reinstate_node": "the audit log states it",
    "put_audit_writer": "verification of the log compares it",
    "claim_audit_writers": "it is done again at the next start",
    "forget_audit_writers": "a restore does it before a server can open the database",
    "begin_history": "it begins another history",
    "adopt_rows": "it gives rows their codes, and changes nothing that they say",
    "replace_domain_key": "it seals the same key anew",
}


def read(store: Store) -> DatabasePosition:
    with store.read() as reader:
        return reader.database_position()


def writes_of_a_transaction() -> set[str]:
    names = {name for name, _ in inspect.getmembers(Transaction, inspect.isfunction) if not name.startswith("_")}
    return names - {name for name, _ in inspect.getmembers(Reader, inspect.isfunction)}


def test_every_write_is_counted_or_need_not_be() -> None:
    assert writes_of_a_transaction() == WRITES.keys() | NOT_COUNTED.keys()


@pytest.mark.parametrize("name", WRITES)
def test_each_write_raises_the_position(store: Store, name: str) -> None:
    for act in WRITES[name]:
        before = store.position()
        assert before == read(store)
        store.write(act)
        assert store.position() == read(store)
        assert store.position().change > before.change


def test_what_is_not_counted_leaves_the_same_position(store: Store) -> None:
    store.write(lambda t: t.add_account(account))
    before = store.position()
    store.write(lambda t: t.add_audit_key(b"wrapped"))
    assert store.position() is before


def test_a_write_that_fails_does_not_raise_it(store: Store) -> None:
    before = store.position()

    def fail(transaction: Transaction) -> None:
        transaction.add_account(account)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.write(fail)
    assert store.position() is before


def test_every_member_of_a_group_returns_with_its_own_change_counted(store: Store) -> None:
    seen: list[bool] = []

    def write(number: int) -> None:
        record = AccountRecord(f"{number:012}", NOW)

        def add(transaction: Transaction) -> int:
            transaction.add_account(record)
            return transaction.database_position().change

        sequence = store.write(add)
        seen.append(store.position().change >= sequence)

    store.position()
    threads = [threading.Thread(target=write, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert seen == [True] * 40


def test_trimming_the_change_log_keeps_the_position(store: Store) -> None:
    for number in range(5):
        store.write(lambda t, number=number: t.add_account(AccountRecord(f"{number:012}", NOW)))  # type: ignore[misc]
    before = read(store)
    store.trim_changes(0)
    store.trim_changes(1)
    assert read(store) == before


def test_each_database_has_a_history_of_its_own_and_another_one_begins_on_request(tmp_path: Path) -> None:
    positions = []
    for name in ("one.db", "two.db"):
        upgrade(tmp_path / name)
        store = SqlStore(open_sqlite(tmp_path / name))
        positions.append(store.position())
        store.write(lambda t: t.begin_history("f" * 16))
        assert store.position() == read(store) == DatabasePosition(2, "f" * 16, positions[-1].change)
        store.close()
    one, two = positions
    assert one.history == two.history == 1
    assert one.history_id != two.history_id
