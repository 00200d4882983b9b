"""Statements that are made once and run with parameters: making one takes SQLAlchemy five times as long as running it.

The parameters of a condition are named ``of_COLUMN``, apart from those that an UPDATE writes.
"""

from sqlalchemy import ColumnElement, Table, and_, bindparam

from strongroom.keys.arns import KeyLocator

KEY = ("account", "region", "key_id")
"""What the rows of a key have in common."""


def where(table: Table, *columns: str) -> ColumnElement[bool]:
    """Return the condition that columns equal their parameters."""
    return and_(*(table.c[name] == bindparam(f"of_{name}", type_=table.c[name].type) for name in columns))


def of(**values: object) -> dict[str, object]:
    """Return the parameters of a condition."""
    return {f"of_{name}": value for name, value in values.items()}


def of_key(locator: KeyLocator) -> dict[str, object]:
    """Return the parameters of the condition that a row is a key's."""
    return {"of_account": locator.account, "of_region": locator.region, "of_key_id": locator.key_id}
