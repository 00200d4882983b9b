"""Accounts, with their aliases and password policies, in SQL."""

import msgspec
from sqlalchemy import Connection, Row, insert, select, update

from strongroom.store.records import AccountRecord, ChangeKind, PasswordPolicy
from strongroom.store.sql.change_log import log_change
from strongroom.store.sql.schema import account
from strongroom.store.sql.statements import of, require_changed, where

_ACCOUNTS = select(account).order_by(account.c.account)
_ACCOUNT = select(account).where(where(account, "account"))
_ACCOUNT_WITH_ALIAS = select(account).where(where(account, "alias"))
_ADD_ACCOUNT = insert(account)
_SAVE_ACCOUNT = update(account).where(where(account, "account"))


def _record(row: Row[tuple[object, ...]]) -> AccountRecord:
    policy = row.password_policy
    return AccountRecord(
        account=row.account,
        created_at=row.created_at,
        alias=row.alias,
        password_policy=None if policy is None else msgspec.json.decode(policy, type=PasswordPolicy),
    )


def _values(record: AccountRecord) -> dict[str, object]:
    policy = record.password_policy
    return {
        "account": record.account,
        "created_at": record.created_at,
        "alias": record.alias,
        "password_policy": None if policy is None else msgspec.json.encode(policy),
    }


class AccountReads:
    """Reads of accounts. See ``subjects.identities``."""

    _connection: Connection

    def accounts(self) -> list[AccountRecord]:
        """Return every account."""
        return [_record(row) for row in self._connection.execute(_ACCOUNTS)]

    def account(self, account: str) -> AccountRecord | None:
        """Return an account."""
        row = self._connection.execute(_ACCOUNT, of(account=account)).one_or_none()
        return None if row is None else _record(row)

    def account_with_alias(self, alias: str) -> AccountRecord | None:
        """Return the account that has an alias."""
        row = self._connection.execute(_ACCOUNT_WITH_ALIAS, of(alias=alias)).one_or_none()
        return None if row is None else _record(row)


class AccountWrites(AccountReads):
    """Writes of accounts. See ``subjects.identities``."""

    def add_account(self, record: AccountRecord) -> None:
        """Insert an account."""
        self._connection.execute(_ADD_ACCOUNT, _values(record))
        self._log_account(record)

    def save_account(self, record: AccountRecord) -> None:
        """Replace the alias and the password policy of an account."""
        values = _values(record)
        place = of(account=values.pop("account"))
        require_changed(self._connection.execute(_SAVE_ACCOUNT, values | place))
        self._log_account(record)

    def _log_account(self, record: AccountRecord) -> None:
        log_change(self._connection, ChangeKind.ACCOUNT, record.account, "", record.account)
