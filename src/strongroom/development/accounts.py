"""Makes accounts, each with a root access key, and empties them again."""

import re
from collections.abc import Iterator

import msgspec

from strongroom.assembly.registrar import access_key_record
from strongroom.clock import Clock
from strongroom.crypto.access_keys import new_access_key
from strongroom.entropy import Entropy
from strongroom.iam.entities import Entity, Group, InstanceProfile, ManagedPolicy, OpenIdConnectProvider, Role, User
from strongroom.keys.arns import KeyLocator, root_arn
from strongroom.operations.context import Backends
from strongroom.store.protocol import Transaction
from strongroom.store.records import AccountRecord
from strongroom.store.scopes import AccountScope

_NUMBERS = 10**12
_ACCOUNT = re.compile(r"[0-9]{12}")
_BATCH = 100
_KINDS: tuple[type[Entity], ...] = (User, Group, Role, InstanceProfile, ManagedPolicy, OpenIdConnectProvider)


def require_account(account: str | None) -> None:
    """Refuse what is no account number; raises ValueError."""
    if account is not None and not _ACCOUNT.fullmatch(account):
        raise ValueError("`account` must have 12 digits")


class AccountExistsError(ValueError):
    """There is an account of this number already."""


class NewAccount(msgspec.Struct, frozen=True):
    """A new account and its root access key."""

    account: str
    access_key_id: str
    secret_access_key: str


class Accounts:
    """The accounts of a development server. ``first`` is the one that is never emptied of its root access key."""

    def __init__(self, backends: Backends, clock: Clock, entropy: Entropy, first: str) -> None:
        self._store = backends.store
        self._secrets = backends.secrets
        self._regions = backends.regions
        self._clock = clock
        self._entropy = entropy
        self._first = first

    def create(self, account: str | None = None) -> NewAccount:
        """Make an account, by default of a random number; raises AccountExistsError."""
        number = account or self._unused()
        key = new_access_key("AKIA", self._entropy, number)
        now = self._clock.now()
        record = access_key_record(self._secrets, key, number, root_arn(self._regions[0], number), now)

        def add(transaction: Transaction) -> None:
            if transaction.account(number) is not None:
                raise AccountExistsError(f"account {number} exists already")
            transaction.add_account(AccountRecord(number, now))
            transaction.add_access_key(record)

        self._store.write(add, AccountScope(""), AccountScope(number))
        return NewAccount(number, key.access_key_id, key.secret)

    def empty(self) -> None:
        """Remove all that the accounts have: keys, identities, access keys. Only the first keeps its root access key.

        The accounts themselves stay, so their numbers are not used again. So do their latest credential reports, and
        sessions of their root users that were begun before.
        """
        self._store.write(self._empty, AccountScope(""))

    def _unused(self) -> str:
        with self._store.read() as reader:
            used = {record.account for record in reader.accounts()}
        while (number := f"{int.from_bytes(self._entropy(8)) % _NUMBERS:012}") in used:
            pass
        return number

    def _empty(self, transaction: Transaction) -> None:
        # Also those that an earlier start has served.
        regions = list(transaction.keys_by_region())
        for record in transaction.accounts():
            for region in regions:
                for locator in _keys(transaction, record.account, region):
                    transaction.erase_damaged_key(locator)
            for entity in _entities(transaction, record.account):
                transaction.remove_access_keys(record.account, entity.arn)
                transaction.remove_entity(entity)
            if record.account != self._first:
                transaction.remove_access_keys(record.account, root_arn(self._regions[0], record.account))
            transaction.save_account(AccountRecord(record.account, record.created_at))
        for store in transaction.all_custom_key_stores():
            transaction.remove_custom_key_store(store)


def _keys(transaction: Transaction, account: str, region: str) -> Iterator[KeyLocator]:
    while batch := transaction.keys(account, region, "", _BATCH):
        yield from batch


def _entities(transaction: Transaction, account: str) -> Iterator[Entity]:
    for kind in _KINDS:
        while batch := transaction.entities(kind, account, "/", "", _BATCH):
            yield from batch
