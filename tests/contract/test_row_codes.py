"""Codes of rows under a new domain key, and the check of every record, with each back end."""

from dataclasses import dataclass
from functools import partial

from msgspec.structs import replace

from grants_builder import make_grant
from keys_builder import make_key
from strongroom.crypto.row_authentication import RowKeys
from strongroom.iam.entities import ManagedPolicy, PolicyVersion, User
from strongroom.keys.arns import AliasLocator
from strongroom.problems import Problems
from strongroom.store.protocol import Store, Transaction
from strongroom.store.records import AccessKeyRecord, AccountRecord, AliasRecord
from strongroom.store.scopes import AccountScope
from strongroom.store.subjects.records import RenewalPlace, RenewedCodes

NOW = 1_790_000_000.0
KEYS = [make_key(number, tags=(("\u00e9", "1"), ("a", "2"))) for number in range(6)]
KEY = KEYS[0]
POLICY = ManagedPolicy(
    account=KEY.account,
    name="Keys",
    unique_id="ANPAKEYS",
    created_at=NOW,
    versions=(PolicyVersion(1, "{}", NOW),),
    default_version=1,
)
USER = User(account=KEY.account, name="Ann", unique_id="AIDAANN", created_at=NOW, attached=(POLICY.arn,))


def fill(transaction: Transaction) -> None:
    transaction.add_account(AccountRecord(KEY.account, NOW))
    transaction.put_entity(POLICY)
    transaction.put_entity(USER)
    transaction.add_access_key(
        AccessKeyRecord("AKIA1", KEY.account, USER.unique_id, b"wrapped", active=True, created_at=NOW)
    )
    for key in KEYS:
        transaction.add_key(key)
    transaction.put_alias(AliasRecord(AliasLocator(KEY.account, KEY.region, "alias/a"), KEY.key_id, NOW, NOW), None)
    transaction.add_grant(make_grant(name="n"))


def renew(place: RenewalPlace, at_once: int, transaction: Transaction) -> RenewedCodes:
    return transaction.renew_codes(place, at_once)


@dataclass
class Authenticated:
    """A store whose rows are authenticated with keys that the test makes."""

    store: Store
    keys: RowKeys

    def findings(self) -> list[str]:
        with self.store.read() as reader:
            return [found.record for found in reader.findings(lambda _key, _material: True)]

    def under_older(self, version: int) -> int:
        with self.store.read() as reader:
            return reader.codes_under_older(version)

    def renew(self, at_once: int) -> list[RenewedCodes]:
        steps: list[RenewedCodes] = []
        place: RenewalPlace | None = RenewalPlace()
        while place is not None:
            steps.append(self.store.write(partial(renew, place, at_once), AccountScope("")))
            place = steps[-1].following
        return steps


def authenticated(store: Store) -> Authenticated:
    keys = RowKeys()
    keys.update({1: b"1" * 32})
    store.authenticate(keys, Problems())  # type: ignore[attr-defined]
    store.write(fill)
    return Authenticated(store, keys)


def test_all_records_are_found_as_they_were_written(store: Store) -> None:
    assert authenticated(store).findings() == []


def test_codes_are_made_anew_a_few_at_a_time(store: Store) -> None:
    world = authenticated(store)
    assert world.under_older(1) == 0
    world.keys.update({1: b"1" * 32, 2: b"2" * 32})
    older = world.under_older(2)
    assert older > len(KEYS)
    steps = world.renew(2)
    assert sum(step.renewed for step in steps) == older
    assert not any(step.refused for step in steps)
    assert world.under_older(2) == 0
    world.keys.update({2: b"2" * 32})
    assert world.findings() == []
    with store.read() as reader:
        assert reader.key(KEY.locator) == replace(KEY, tags=tuple(sorted(KEY.tags)), aliases=("alias/a",))


def test_a_record_that_was_changed_keeps_its_code_and_is_found(store: Store) -> None:
    world = authenticated(store)

    def change(transaction: Transaction) -> None:
        connection = transaction._connection  # type: ignore[attr-defined]
        connection.exec_driver_sql(f"UPDATE kms_key SET description = 'x' WHERE key_id = '{KEYS[3].key_id}'")  # noqa: S608

    store.write(change)
    world.keys.update({1: b"1" * 32, 2: b"2" * 32})
    assert [name for step in world.renew(100) for name in step.refused] == [f"key {KEYS[3].arn}"]
    assert world.findings() == [f"key {KEYS[3].arn}"]
