"""Checks a whole database: reads every value of every table.

So PostgreSQL finds each page of a table whose checksum is wrong (postgresql.org, "Data Checksums"), and each value that
it cannot decode. Indexes are not compared with their tables: that takes the extension amcheck, and a superuser.
"""

import time

from sqlalchemy import Table, Text, cast, func, select
from sqlalchemy.exc import DBAPIError

from strongroom.store.faults import LASTING
from strongroom.store.integrity import Integrity, UncheckedError
from strongroom.store.postgresql.engine import DATABASE_ERRORS, Database, driver_of, long_statements
from strongroom.store.postgresql.faults import fault_of_postgresql
from strongroom.store.postgresql.schema import change, generation, metadata
from strongroom.store.postgresql.statements import begin_read
from strongroom.store.sql.history import EmptiedTableError

_NUMBERS = select(generation.c.number, select(func.max(change.c.sequence)).scalar_subquery())


def check_tables(database: Database) -> Integrity:
    """Check a whole database while servers use it; raises UncheckedError if it cannot be read now."""
    begun = time.perf_counter()
    try:
        findings = [finding for table in metadata.sorted_tables if (finding := _fault_in(database, table))]
        findings += _fault_of_generation(database)
    except EmptiedTableError as error:
        findings = [f"{error}: it has no row"]
    except DATABASE_ERRORS as error:
        fault = fault_of_postgresql(error, writing=False)
        raise UncheckedError(database.name if fault is None else fault.explain(database.name)) from error
    return Integrity(tuple(findings), time.perf_counter() - begun)


def _fault_of_generation(database: Database) -> list[str]:
    """Return what is wrong with the number of the newest change. Every write fails if it was lowered."""
    with database.connect() as connection:
        begin_read(driver_of(connection))
        number, newest = connection.execute(_NUMBERS).one_or_none() or (None, None)
    if number is None:
        return [f"{generation.name}: it has no row"]
    if newest is not None and newest > number:
        return [f"{generation.name}: it ends with change {number}, but there is change {newest}"]
    return []


def _fault_in(database: Database, table: Table) -> str | None:
    """Return what is wrong with a table, None if nothing is. Each has a transaction of its own, for vacuum's sake."""
    try:
        with database.connect() as connection:
            begin_read(driver_of(connection))
            with long_statements(connection):
                connection.execute(select(func.sum(func.length(cast(func.row(*table.columns), Text)))))
    except DBAPIError as error:
        fault = fault_of_postgresql(error, writing=False)
        if fault is None or fault.kind not in LASTING:
            raise
        return f"{table.name}: {fault.reason}"
    return None
