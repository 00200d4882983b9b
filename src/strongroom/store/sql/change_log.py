"""The change log: names what each commit changed, so that every worker evicts just that from its caches."""

from sqlalchemy import Connection, insert

from strongroom.store.records import ChangeKind
from strongroom.store.sql.schema import change

_LOG = insert(change)


def log_change(connection: Connection, kind: ChangeKind, account: str, region: str, name: str) -> None:
    """Add an entry for something that changed, in the transaction that changed it."""
    connection.execute(_LOG, {"kind": kind.value, "account": account, "region": region, "name": name})
