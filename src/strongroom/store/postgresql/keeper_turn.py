"""Whose turn it is to look for what is due, so that not every node reads the same lists in every round.

No work depends on it: what is due is looked at again, under a lock, by the transaction that changes it. The turn ends
by the clock of the database, so the clocks of nodes do not matter, and a node that was stopped loses it.
"""

from sqlalchemy import Connection, bindparam, select, update

from strongroom.store.postgresql.schema import NOW, keeper_turn
from strongroom.store.sql.statements import postgresql_insert

_TURN = select(keeper_turn.c.holder, (keeper_turn.c.ends_at - NOW).label("left"), keeper_turn.c.ends_at)
_FIRST = postgresql_insert(keeper_turn).from_select(
    ["holder", "ends_at"], select(bindparam("node"), NOW + bindparam("seconds"))
)
_FIRST_OR_NONE = _FIRST.on_conflict_do_nothing(index_elements=["single"])
# If it was taken since it was read, this changes nothing.
_TAKE = (
    update(keeper_turn)
    .where(keeper_turn.c.holder == bindparam("before"), keeper_turn.c.ends_at == bindparam("ended_at"))
    .values(holder=bindparam("node"), ends_at=NOW + bindparam("seconds"))
)


def now(connection: Connection) -> float:
    """Return the time by the clock of the database, epoch seconds."""
    return float(connection.execute(select(NOW)).scalar_one())


def take(connection: Connection, holder: str, seconds: float) -> bool:
    """Take the turn for some seconds, or prolong it; return False if it is another's.

    It is written only when half of it is over.
    """
    found = connection.execute(_TURN).one_or_none()
    values = {"node": holder, "seconds": seconds}
    if found is None:
        return bool(connection.execute(_FIRST_OR_NONE, values).rowcount)
    if found.holder == holder and found.left > seconds / 2:
        return True
    if found.holder != holder and found.left > 0:
        return False
    values |= {"before": found.holder, "ended_at": found.ends_at}
    return bool(connection.execute(_TAKE, values).rowcount)
