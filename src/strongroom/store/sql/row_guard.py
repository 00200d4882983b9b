"""Makes the codes of rows that are written, and lets through only rows that are as this service wrote them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import TypeVar

import msgspec
from sqlalchemy import Table

from strongroom.crypto.domain_keys import IAM_SCOPE
from strongroom.errors import KmsError, QuarantinedIdentityException, QuarantinedRecordException
from strongroom.keys.arns import KeyLocator, partition
from strongroom.store.faults import StoreUnavailable
from strongroom.store.quarantine import Finding, Quarantine, printable
from strongroom.store.row_authenticator import RowAuthenticator
from strongroom.store.sql.row_macs import FORMATS, MAC
from strongroom.store.sql.rows import AnyRow
from strongroom.store.sql.schema import kms_key

T = TypeVar("T")

FORGED = "its stored record failed authentication"
UNREADABLE = "its stored record cannot be read"
UNREADABLE_ERRORS = (ValueError, TypeError, AttributeError, LookupError, msgspec.MsgspecError)
"""What reading a row of the right table raises if a value has a wrong type or is not one of those that are possible."""

_IDENTITY_TABLES = frozenset({"account", "access_key", "identity", "identity_link"})
_KEY_ARN = "arn:{partition}:kms:{region}:{account}:key/{key_id}"
_NAMES = {
    "account": "account {account}",
    "access_key": "access key {access_key_id}",
    "identity": "{kind} {name_key} of account {account}",
    "identity_link": "the reference of {kind} {name_key} of account {account} to {target} ({relation})",
    "kms_key": f"key {_KEY_ARN}",
    "alias": "alias arn:{partition}:kms:{region}:{account}:{name}",
    "key_grant": f"grant {{grant_id}} on key {_KEY_ARN}",
    "custom_key_store": "custom key store {store_id} of account {account} in {region}",
    "xks_proxy": "XKS proxy {prefix}",
    "xks_proxy_credential": "credential {access_key_id} of an XKS proxy",
    "xks_proxy_key": "key {external_id} of XKS proxy {prefix}",
    "destruction": "the destruction of object {object_id}",
}


class RowGuard:
    """Authenticates rows. Without an authenticator, all rows that can be read are let through."""

    def __init__(self, quarantine: Quarantine, authenticator: RowAuthenticator | None = None) -> None:
        self.quarantine = quarantine
        self.authenticator = authenticator

    def require_newest(self, version: int | None) -> None:
        """Make codes with the newest domain key: an older one may be destroyed, and no row that it made would be good.

        ``version`` is the newest that is stored, None if there is none. Raises StoreUnavailable if this process cannot
        open it now.
        """
        if self.authenticator is not None and version is not None and not self.authenticator.require(version):
            text = f"the domain key {version} of `{IAM_SCOPE}` cannot be opened now"
            raise StoreUnavailable("The key store cannot be written now.", text)

    def sealed(
        self, table: Table, values: Mapping[str, object], parts: Sequence[Sequence[object]] = ()
    ) -> dict[str, object]:
        """Return the values of a row that is written, with its code. ``values`` has all covered columns."""
        authenticator = self.authenticator
        mac = None if authenticator is None else authenticator.mac(FORMATS[table.name].of_values(values, parts))
        return {**values, MAC: mac}

    def is_authentic(
        self, table: Table, row: AnyRow, mac: object = None, parts: Sequence[Sequence[object]] = ()
    ) -> bool:
        """Return whether a row, of all columns of its table, has the code that is stored in it, or else ``mac``."""
        if self.authenticator is None:
            return True
        message = FORMATS[table.name].of_row(row, parts)
        found = row.row_mac if mac is None else mac
        return message is not None and isinstance(found, bytes) and self.authenticator.verifies(message, found)

    def read(self, table: Table, row: AnyRow, decode: Callable[[AnyRow], T]) -> T | None:
        """Return what a row holds; None if it is not as this service wrote it. Then it is quarantined."""
        fault = FORGED
        if self.is_authentic(table, row):
            try:
                found = decode(row)
            except UNREADABLE_ERRORS:
                fault = UNREADABLE
            else:
                if len(self.quarantine):
                    self.quarantine.release(name_of(table, row))
                return found
        self.quarantine.add(Finding(name_of(table, row), fault))
        return None

    def require(self, table: Table, row: AnyRow, decode: Callable[[AnyRow], T]) -> T:
        """Return what a row holds; raises QuarantinedRecordException or QuarantinedIdentityException otherwise."""
        found = self.read(table, row, decode)
        if found is None:
            raise refusal(table, name_of(table, row))
        return found

    def intact(self, table: Table, rows: Iterable[AnyRow], decode: Callable[[AnyRow], T]) -> list[T]:
        """Return what those rows hold that are as this service wrote them; the others are quarantined."""
        found = (self.read(table, row, decode) for row in rows)
        return [each for each in found if each is not None]

    def page(
        self, table: Table, fetch: Callable[[int], Sequence[AnyRow]], limit: int, decode: Callable[[AnyRow], T]
    ) -> list[T]:
        """Do what ``intact`` does with the rows that ``fetch`` returns, and return ``limit`` if there are so many.

        ``fetch`` gets the greatest number of rows to return. So a list does not end before a quarantined row.
        """
        return filled(fetch, limit, lambda rows: self.intact(table, rows, decode))

    def locators(self, fetch: Callable[[int], Sequence[AnyRow]], limit: int) -> list[KeyLocator]:
        """Return the locators of keys, as ``page`` does. They are not authenticated, but each can be looked up."""
        return filled(fetch, limit, lambda rows: [each for row in rows if (each := self.locator(row)) is not None])

    def locator(self, row: AnyRow) -> KeyLocator | None:
        """Return the locator of a key in a row; None if it can be that of no key. Then it is quarantined."""
        found = (row.account, row.region, row.key_id)
        if all(isinstance(each, str) and each.isascii() for each in found):
            return KeyLocator(*found)
        self.quarantine.add(Finding(name_of(kms_key, row), UNREADABLE))
        return None

    def gone(self, table: Table, **columns: object) -> None:
        """Note that there is no row with these values of the primary key."""
        if len(self.quarantine):
            self.quarantine.release(name_of(table, SimpleNamespace(**columns)))


def filled(
    fetch: Callable[[int], Sequence[AnyRow]], limit: int, keep: Callable[[Sequence[AnyRow]], list[T]]
) -> list[T]:
    """Return what is kept of the rows that ``fetch`` returns, ``limit`` if there is so much."""
    asked = limit
    while True:
        rows = fetch(asked)
        found = keep(rows)
        if len(found) >= limit or len(rows) < asked:
            return found[:limit]
        asked *= 2


def refusal(table: Table, name: str) -> KmsError:
    """Return the refusal of a call that needs a quarantined record."""
    message = f"The stored record of {name} failed authentication, so it cannot be used until it is restored."
    kind = QuarantinedIdentityException if table.name in _IDENTITY_TABLES else QuarantinedRecordException
    error = kind(message)
    error.details = {"quarantined": name}
    return error


def name_of(table: Table, row: AnyRow | SimpleNamespace) -> str:
    """Return what a row is about, by its primary key, for people. The row may hold anything."""
    values = {column.name: printable(getattr(row, column.name)) for column in table.primary_key}
    if "region" in values:
        values["partition"] = partition(values["region"])
    return _NAMES[table.name].format_map(values)
