"""Asks a PostgreSQL server for what an operator should know of it. Any role may ask.

Which standbys are connected is not among it: only superusers and ``pg_monitor`` see that (postgresql.org, "The
Cumulative Statistics System").
"""

from collections.abc import Callable
from contextlib import closing
from ipaddress import ip_address

from sqlalchemy import text

from strongroom.store.postgresql.address import Address
from strongroom.store.postgresql.engine import driver_of, open_postgresql
from strongroom.store.postgresql.opening import explained
from strongroom.store.server_facts import ServerFacts

_LIMITS = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
_IF_UNLIMITED = "CASE current_setting('{0}') WHEN '0' THEN '{0}' END"
_OWN = "pg_namespace WHERE nspname = current_schema()"
_FACTS = text(
    f"""SELECT current_setting('server_version') AS release,
        current_setting('synchronous_commit') AS synchronous_commit,
        current_setting('synchronous_standby_names') AS synchronous_standbys,
        current_setting('data_checksums') = 'on' AS has_checksums,
        current_user AS role,
        coalesce(has_table_privilege(to_regclass('generation'), 'UPDATE'), false) AS may_write,
        (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) OR EXISTS (
            SELECT FROM pg_class
            WHERE relkind IN ('r', 'p') AND relnamespace = (SELECT oid FROM {_OWN})
            AND (pg_has_role(relowner, 'USAGE') OR has_table_privilege(oid, 'TRUNCATE'))
        ) AS may_change_tables,
        has_schema_privilege(current_schema(), 'CREATE') AS may_create_tables,
        array_remove(ARRAY[{", ".join(map(_IF_UNLIMITED.format, _LIMITS))}], NULL) AS unlimited,
        extract(epoch FROM clock_timestamp()) AS time"""  # noqa: S608 - of constants
)


def read_server_facts(address: Address, timeout: float, uptime: Callable[[], float]) -> ServerFacts:
    """Return what a server says of itself; it may take ``timeout`` seconds. ``uptime`` is ``Clock.uptime``.

    Raises UnusableDatabaseError if it cannot be reached.
    """
    with (
        explained(address),
        closing(open_postgresql(address, size=1, statement_limit=timeout)) as database,
        database.connect() as connection,
    ):
        socket = driver_of(connection).pgconn
        asked = uptime()
        found = connection.execute(_FACTS).one()
        answered = uptime()
        return ServerFacts(
            release=found.release,
            is_encrypted=bool(socket.ssl_in_use),
            is_local=_is_local(socket.host.decode(), socket.hostaddr.decode()),
            synchronous_commit=found.synchronous_commit,
            synchronous_standbys=found.synchronous_standbys.strip(),
            has_checksums=found.has_checksums,
            role=found.role,
            may_write=found.may_write,
            may_change_tables=found.may_change_tables,
            may_create_tables=found.may_create_tables,
            unlimited=tuple(found.unlimited),
            time=float(found.time),
            asked=asked,
            answered=answered,
        )


def _is_local(host: str, address: str) -> bool:
    """Tell whether a server is reached by a socket of this machine. libpq names its folder, or the address it found."""
    if host.startswith(("/", "@")):
        return True
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
