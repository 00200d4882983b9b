"""The change log: what each commit changed, so that every worker forgets just that."""

from sqlalchemy import Connection, insert

from strongroom.store.records import ChangeKind
from strongroom.store.sql.schema import change

_LOG = insert(change)


def log_change(connection: Connection, kind: ChangeKind, account: str, region: str, name: str) -> None:
    """Note that something is no longer what it was; part of the transaction that changed it."""
    connection.execute(_LOG, {"kind": kind.value, "account": account, "region": region, "name": name})
