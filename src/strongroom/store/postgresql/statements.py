"""How transactions begin and end: the statements that are sent together, as one message of the simple query protocol.

A server runs such a message only when it has all of it. So a node that is paused while it sends one never holds the
row ``generation``, for which every commit waits. If a statement of the message fails, the rest is not run.

What other databases on this protocol may lack is here, and in ``sql.dialects``; see docs/databases.md.
"""

from collections.abc import Iterable, Sequence

import msgspec
from psycopg import ClientCursor
from psycopg.rows import TupleRow

from strongroom.crypto.domain_keys import IAM_SCOPE
from strongroom.store.leases.generation import Generation
from strongroom.store.postgresql.connection import StoreConnection
from strongroom.store.records import ChangeKind
from strongroom.store.scopes import AccountScope, KeyScope, NewKeyScope, Scope
from strongroom.store.sql.history import EmptiedTableError

_BEGIN_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT number, tag FROM generation"
_BEGIN_WRITE = "BEGIN ISOLATION LEVEL READ COMMITTED"
# Where the scope is of no account: a row that every database has, and no statement changes.
_LOCK_COMMON = "SELECT ordinal FROM database_history WHERE ordinal = 1 FOR UPDATE"
_LOCK_ACCOUNTS = "SELECT account FROM account WHERE account = ANY(%(accounts)s) ORDER BY account FOR UPDATE"
_LOCK_KEYS = (
    "SELECT key_id FROM kms_key WHERE key_id = ANY(%(key_ids)s) AND account = ANY(%(owners)s) "
    "ORDER BY account, key_id, region FOR UPDATE"
)
_LOCK_COUNTS = (
    "SELECT account, region, customer_keys FROM key_count "
    "WHERE account = ANY(%(makers)s) AND region = ANY(%(regions)s) ORDER BY account, region FOR UPDATE"
)
# It must not be destroyed before the commit, as the one for codes.
_NEWEST_DOMAIN_KEYS = (
    "SELECT scope, version FROM domain_key AS newest WHERE scope = ANY(%(regions)s) AND version = "
    "(SELECT max(version) FROM domain_key WHERE domain_key.scope = newest.scope) ORDER BY scope FOR KEY SHARE"
)
# Codes of rows are made with it. So it must not be destroyed before the commit. And a move of the deployment
# (``leaving``), which locks all of them, waits for the writes that have begun before it.
_NEWEST_CODE_KEY = "SELECT version FROM domain_key WHERE scope = %(scope)s ORDER BY version DESC LIMIT 1 FOR KEY SHARE"
_GENERATION = "generation"
_WINDOW = "schema_window"
# After that lock is taken, so that a write which has waited for a move finds it.
_PLACE = f"SELECT {_WINDOW}.single, moved_to FROM {_GENERATION} LEFT JOIN {_WINDOW} ON true"  # noqa: S608 - constants
# A transaction that has a lock has an id, without which COMMIT would not wait for the standby.
_ANY_LOCK = f"SELECT FROM {_WINDOW} FOR KEY SHARE"
_RAISE = "UPDATE generation SET number = number + %(count)s, tag = %(tag)s"
_ADD_CHANGES = (
    "INSERT INTO change (sequence, tag, kind, account, region, name) "
    "SELECT generation.number - %(count)s + entry.place, %(tag)s, entry.kind, entry.account, entry.region, entry.name "
    "FROM generation, (VALUES {entries}) AS entry (place, kind, account, region, name)"
)
_ADD_RECEIPT = (
    "INSERT INTO receipt (tag, attempt, number, made_at) "
    "SELECT %(tag)s, %(attempt)s, number, extract(epoch FROM clock_timestamp()) FROM generation"
)
_CLAIM_RECEIPT = f"{_ADD_RECEIPT} ON CONFLICT (tag) DO NOTHING"
# The commit of this waits for the standby, and with it for all that was committed before.
_TOUCH_RECEIPT = "UPDATE receipt SET number = number WHERE tag = %(tag)s RETURNING attempt"
_POSITION = "SELECT number, tag, (SELECT max(ordinal) FROM database_history) FROM generation"


class DeploymentMovedError(Exception):
    """The deployment is in another database now; the message says in which."""


class Entry(msgspec.Struct, frozen=True):
    """An entry of the change log that has no number yet."""

    kind: ChangeKind
    account: str
    region: str
    name: str


class Begun(msgspec.Struct, frozen=True):
    """What a write has found when it began; all of it is locked until the transaction ends.

    ``code_key`` is the version of the domain key that codes of rows are made with, None if there is none.
    ``customer_keys`` has the numbers of keys by account and Region, of scopes for new keys that have any;
    ``domain_keys`` the scopes and versions of the newest domain keys of their Regions.
    """

    code_key: int | None
    customer_keys: dict[tuple[str, str], int]
    domain_keys: frozenset[tuple[str, int]]


class Receipt(msgspec.Struct, frozen=True):
    """What tells whether a write has committed: a random tag of the write, and the number of its attempt."""

    tag: bytes
    attempt: int


class Committed(msgspec.Struct, frozen=True):
    """What a commit returned: the generation then, the ordinal of the database's history, and whose receipt it is.

    ``is_durable`` is False if the server did not wait for its standby.
    """

    generation: Generation
    history: int
    attempt: int
    is_durable: bool

    @property
    def change(self) -> int:
        """The number of the newest change."""
        return self.generation.number


def begin_read(connection: StoreConnection) -> Generation:
    """Begin to read one state of the database; return its generation. Raises EmptiedTableError."""
    found = _rows(connection, _BEGIN_READ)[-1]
    if not found:
        raise EmptiedTableError(_GENERATION)
    number, tag = found[0]
    return Generation(int(number), bytes(tag))


def claim(connection: StoreConnection, receipt: Receipt) -> bool:
    """Begin a write, with its receipt; return False if there is one with this tag already.

    It waits for a transaction that has inserted one and not ended yet.
    """
    values = msgspec.structs.asdict(receipt)
    return _statuses(connection, f"{_BEGIN_WRITE}; {_CLAIM_RECEIPT}", values)[-1] != "INSERT 0 0"


def begin_write(connection: StoreConnection, scopes: Iterable[Scope], *, begun: bool = False) -> Begun:
    """Begin a write, unless it has ``begun``, and lock the rows of its scopes in the order of ``scopes.Scope``.

    What is read later sees everything that was committed before the locks were taken. Raises EmptiedTableError, and
    DeploymentMovedError.
    """
    accounts = sorted({scope.account for scope in scopes if isinstance(scope, AccountScope)})
    keys = [scope for scope in scopes if isinstance(scope, KeyScope)]
    new_keys = [scope for scope in scopes if isinstance(scope, NewKeyScope)]
    statements = [] if begun else [_BEGIN_WRITE]
    if "" in accounts:
        statements.append(_LOCK_COMMON)
    if any(accounts):
        statements.append(_LOCK_ACCOUNTS)
    if keys:
        statements.append(_LOCK_KEYS)
    values: dict[str, object] = {
        "accounts": accounts,
        "key_ids": [key.key_id for key in keys],
        "owners": [key.account for key in keys],
        "makers": sorted({scope.account for scope in new_keys}),
        "regions": sorted({scope.region for scope in new_keys}),
        "scope": IAM_SCOPE,
    }
    if new_keys:
        statements += [_LOCK_COUNTS, _NEWEST_DOMAIN_KEYS]
    *locked, newest, place = _rows(connection, "; ".join([*statements, _NEWEST_CODE_KEY, _PLACE]), values)
    if not place:
        # The commit would have no number and no entry in the change log.
        raise EmptiedTableError(_GENERATION)
    has_window, moved_to = place[0]
    if not has_window:
        raise EmptiedTableError(_WINDOW)
    if moved_to is not None:
        raise DeploymentMovedError(moved_to)
    counts, domain_keys = locked[-2:] if new_keys else ([], [])
    return Begun(
        code_key=int(newest[0][0]) if newest else None,
        customer_keys={(str(account), str(region)): int(count) for account, region, count in counts},
        domain_keys=frozenset((str(scope), int(version)) for scope, version in domain_keys),
    )


def commit(
    connection: StoreConnection,
    receipt: Receipt,
    entries: Sequence[Entry],
    before: Sequence[str] = (),
    *,
    claimed: bool,
) -> Committed:
    """Write the entries of the change log and the receipt, unless it was ``claimed`` at the beginning, and commit.

    The statements ``before``, which have no parameters, are sent in the same message.
    """
    values: dict[str, object] = {**msgspec.structs.asdict(receipt), "count": len(entries)}
    statements = []
    if entries:
        places = []
        for place, entry in enumerate(entries, 1):
            names = [f"{name}{place}" for name in ("kind", "account", "region", "name")]
            values |= zip(names, (entry.kind.value, entry.account, entry.region, entry.name), strict=True)
            places.append(f"({place}, {', '.join(f'%({name})s' for name in names)})")
        statements += [_RAISE, _ADD_CHANGES.format(entries=", ".join(places))]
    if not claimed:
        statements.append(_ADD_RECEIPT)
    position = _commit(connection, statements, values, before)[-1]
    return _committed(connection, position, receipt.attempt)


def confirm(connection: StoreConnection, receipt: Receipt) -> Committed:
    """Make sure that an earlier commit, which has a receipt with this tag, is durable, and commit."""
    touched, position = _commit(connection, [_TOUCH_RECEIPT], {"tag": receipt.tag})
    return _committed(connection, position, int(touched[0][0]))


def prove(connection: StoreConnection) -> Committed:
    """Undo a transaction, and prove that what it has read is durable and was current.

    A commit proves that, after which this server is still the primary, and all that it knew is on the standby.
    """
    return _committed(connection, _commit(connection, ["ROLLBACK", _BEGIN_WRITE, _ANY_LOCK], {})[-1], 0)


def _commit(
    connection: StoreConnection, statements: Sequence[str], values: dict[str, object], before: Sequence[str] = ()
) -> list[list[TupleRow]]:
    connection.has_warned = False
    text = ClientCursor(connection).mogrify("; ".join([*statements, _POSITION, "COMMIT"]).encode(), values)
    return _rows(connection, "; ".join([*before, text]))


def _committed(connection: StoreConnection, position: Sequence[TupleRow], attempt: int) -> Committed:
    number, tag, ordinal = position[0]
    return Committed(Generation(int(number), bytes(tag)), int(ordinal or 0), attempt, not connection.has_warned)


def _rows(
    connection: StoreConnection, statements: str, values: dict[str, object] | None = None
) -> list[list[TupleRow]]:
    """Run statements as one message; return the rows of each that returns any."""
    cursor = ClientCursor(connection)
    cursor.execute(statements.encode(), values)
    found: list[list[TupleRow]] = []
    while True:
        if cursor.description is not None:
            found.append(cursor.fetchall())
        if not cursor.nextset():
            return found


def _statuses(connection: StoreConnection, statements: str, values: dict[str, object]) -> list[str]:
    """Run statements as one message; return what the server says of each, such as "INSERT 0 1"."""
    cursor = ClientCursor(connection)
    cursor.execute(statements.encode(), values)
    found = [str(cursor.statusmessage)]
    while cursor.nextset():
        found.append(str(cursor.statusmessage))
    return found
