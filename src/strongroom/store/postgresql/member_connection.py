"""Performs the requests of agents and of writers that wait for them, on a connection to PostgreSQL."""

from collections.abc import Callable, Sequence

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow

from strongroom.descriptors import readable
from strongroom.store.leases.bounds import lease_of_row
from strongroom.store.leases.generation import Generation, TaggedChange
from strongroom.store.leases.requests import (
    Acknowledge,
    FindMember,
    FoundChanges,
    FoundMembers,
    Join,
    Leave,
    Member,
    ReadChanges,
    Renew,
    Reply,
    Request,
    Steps,
)
from strongroom.store.postgresql import member_statements as statements
from strongroom.store.postgresql.connection import NotConfirmed, StoreConnection
from strongroom.store.postgresql.schema_version import SchemaWindow


class NotAdmitted(psycopg.OperationalError):
    """This node may not serve the database; the message says why, and what to do."""


class GenerationLost(psycopg.DataError):
    """The row of the generation is gone: the table was emptied. Nothing proves what is current then."""

    def __init__(self) -> None:
        super().__init__("the table `generation` has lost its row; stop the servers and restore a backup")


class MemberConnection:
    """A connection for the protocol of leases. Each statement may take ``timeout`` seconds.

    It must lead to the server itself: a pooler in between may send each statement to another server, and passes on no
    notifications. Raises psycopg.Error when the database cannot be reached, PoolerBetweenError if a pooler answers;
    then it has to be closed.
    """

    def __init__(self, conninfo: str, timeout: float) -> None:
        """Connect."""
        self._connection = StoreConnection.connect(_writable(conninfo), autocommit=True)
        self._connection.limit = timeout
        try:
            self._connection.require_direct()
        except psycopg.Error:
            self._connection.close()
            raise
        self._connection.watch_warnings()
        self._notified = False
        self._connection.add_notify_handler(self._be_notified)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def run(self, steps: Steps) -> None:
        """Perform a sequence of requests."""
        try:
            request = next(steps)
            while True:
                request = steps.send(self.perform(request))
        except StopIteration:
            return
        finally:
            steps.close()

    def perform(self, request: Request) -> Reply:
        """Perform a request, and return its reply."""
        match request:
            case Renew():
                return self._renew(request)
            case ReadChanges():
                return self._changes(request)
            case Acknowledge(node, incarnation, number):
                return self._execute(statements.ACKNOWLEDGE, (number, node, incarnation, number)).rowcount == 1
            case FindMember():
                row = self._execute(statements.FIND, (request.node,)).fetchone()
                return None if row is None else _member(row)
            case Join():
                return self._join(request)
            case Leave():
                self._execute(statements.LEAVE, (request.node, request.incarnation) * 2)
                return None

    def members(self) -> FoundMembers:
        """Return all members, also those whose rows a person has deleted; raises GenerationLost."""
        rows = self._execute(statements.FIND_ALL, ()).fetchall()
        if not rows:
            raise GenerationLost
        return FoundMembers(rows[0][0], [_member(row[1:]) for row in rows if row[1] is not None])

    def prove(self) -> None:
        """Commit durably: a server on which that succeeds was the primary afterwards."""
        self._execute(statements.PROVE, ())

    def remove(self, member: Member) -> None:
        """Delete a member if it has not been renewed since it was found."""
        name = member.node, member.incarnation
        self._execute(statements.REMOVE, (*name, member.renewed, *name, *name))

    def listen(self) -> None:
        """Have ``wait`` return when something was committed."""
        self._execute(f"LISTEN {statements.CHANNEL}", ())

    def notify(self) -> None:
        """Tell all that listen that something was committed."""
        self._execute(statements.NOTIFY, ())

    def wait(self, seconds: float, wake: int) -> bool:
        """Wait for a notification, ``seconds`` at most, or until ``wake`` can be read; tell whether there was one."""
        if not self._notified:
            readable([self._connection.fileno(), wake], seconds)
            self._connection.pgconn.consume_input()
            while self._connection.pgconn.notifies() is not None:
                self._notified = True
        notified, self._notified = self._notified, False
        return notified

    def _execute(self, statement: str, values: Sequence[object]) -> psycopg.Cursor[TupleRow]:
        cursor = self._connection.execute(statement.encode(), values)
        if self._connection.has_warned:
            raise NotConfirmed
        return cursor

    def _join(self, request: Join) -> bool:
        """Join; raises NotAdmitted where the database is not for this release, or if the node was retired."""
        old, about = request.replaces, request.about
        said = about.release, about.listen, about.regions, about.workers
        if old is None:
            values: tuple[object, ...] = (request.node, request.incarnation, request.lease, *said, request.node)
            joined = self._execute(statements.INSERT, values).rowcount == 1
        else:
            name = old.node, old.incarnation
            values = (request.incarnation, request.lease, *said, *name, old.renewed, *name)
            joined = self._execute(statements.REPLACE, values).rowcount == 1
        if not joined:
            found = self._execute(statements.WINDOW, ()).fetchone()
            if found is None:
                raise NotAdmitted("the table `schema_window` has lost its row; stop the servers and restore a backup")
            refusal = SchemaWindow(*found).refusal
            if refusal is not None:
                raise NotAdmitted(refusal)
            if self._execute(statements.IS_RETIRED, (request.node,)).fetchone() is not None:
                raise NotAdmitted(
                    f"node {request.node} was retired, so its audit chains count as lost; if that is a mistake, run "
                    f"`strongroom audit retire --undo {request.node}` on another node"
                )
        return joined

    def _renew(self, request: Renew) -> Generation | None:
        """Renew; raises GenerationLost if that is why the row was not renewed: to join again would not help."""
        found = self._execute(statements.RENEW, (request.node, request.incarnation)).fetchone()
        if found is not None:
            return Generation(found[0], bytes(found[1]))
        if self._execute(statements.GENERATION, ()).fetchone() is None:
            raise GenerationLost
        return None

    def _changes(self, request: ReadChanges) -> FoundChanges:
        rows = self._execute(statements.CHANGES, (request.since, request.since, request.most)).fetchall()
        if not rows:
            raise GenerationLost
        number, tag = rows[0][:2]
        changes = [TaggedChange(row[2], bytes(row[3]), *row[4:]) for row in rows if row[2] is not None]
        return FoundChanges(Generation(number, bytes(tag)), changes)

    def _be_notified(self, _notification: psycopg.Notify) -> None:
        self._notified = True


Connect = Callable[[], MemberConnection]


def _member(row: TupleRow) -> Member:
    node, incarnation, renewed, acked, lease = row
    return Member(node, bytes(incarnation), renewed, acked, lease_of_row(lease))


def _writable(conninfo: str) -> str:
    """Return where to connect to: of several hosts, the one that can be written, unless it says something else.

    A connection that is used only from time to time must not be lost without notice.
    """
    given = conninfo_to_dict(conninfo)
    defaults = {
        "target_session_attrs": "read-write",
        "connect_timeout": "2",
        "application_name": "strongroom",
        "keepalives_idle": "20",
        "keepalives_interval": "5",
        "keepalives_count": "3",
    }
    return make_conninfo(conninfo, **{name: value for name, value in defaults.items() if name not in given})
