"""The tables in PostgreSQL: those of ``sql.schema``, and what only a database with several nodes needs.

Text is compared byte by byte (``COLLATE "C"``), as SQLite does, so that lists have the same order on every database,
whatever its locale. ``migrations`` creates the tables; a test checks that both agree.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    func,
    true,
)

from strongroom.store.sql import schema as shared

metadata = MetaData()

NOW = func.extract("epoch", func.clock_timestamp())
"""The time by the clock of the database at this moment, not at the begin of the transaction, epoch seconds."""


def _text(length: int | None = None) -> String:
    return Text(collation="C") if length is None else String(length, collation="C")


for _table in shared.metadata.sorted_tables:
    if _table is not shared.change:
        for _column in _table.to_metadata(metadata).columns:
            if isinstance(_column.type, String):
                _column.type = _text(_column.type.length)

# The lock of a key's scope looks for the rows of a key id in all Regions.
Index("kms_key_id", metadata.tables["kms_key"].c.key_id)

change = Table(
    "change",
    metadata,
    # Without gaps and in the order of commits: it comes from ``generation``, not from a sequence.
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    # That of the commit. Entries of another history of the database have other tags.
    Column("tag", LargeBinary, nullable=False),
    Column("kind", _text(16), nullable=False),
    Column("account", _text(12), nullable=False),
    Column("region", _text(64), nullable=False),
    Column("name", _text(256), nullable=False),
)

generation = Table(
    "generation",
    metadata,
    # One row: the sequence number of the newest entry of the change log, and the tag of its commit, 8 random bytes.
    # Its primary key does not change, so that an update writes to no index.
    Column(
        "single", Boolean, CheckConstraint("single", name="generation_single"), primary_key=True, server_default=true()
    ),
    Column("number", BigInteger, nullable=False),
    Column("tag", LargeBinary, nullable=False),
)

member = Table(
    "member",
    metadata,
    Column("node", _text(12), primary_key=True),
    # Random, of this run of the node.
    Column("incarnation", LargeBinary, nullable=False),
    # How often it has renewed its lease.
    Column("renewed", BigInteger, nullable=False),
    # The generation that all its processes know.
    Column("acked", BigInteger, nullable=False),
    # Its lease, seconds: how long others wait for it. Nodes may have different ones while the setting is changed.
    Column("lease", Float, nullable=False),
    # What a node says of itself: its release, where it listens, its Regions by commas, its worker processes.
    Column("release", _text(64), nullable=False),
    # The schema of that release.
    Column("schema", _text(8), nullable=False),
    Column("listen", _text(), nullable=False),
    Column("regions", _text(), nullable=False),
    Column("workers", Integer, nullable=False),
    # By the clock of the database.
    Column("joined_at", Float, nullable=False),
    Column("renewed_at", Float, nullable=False),
)

granted_lease = Table(
    "granted_lease",
    metadata,
    # Of each incarnation that may have a lease, a second row, which goes when the one in ``member`` is removed by the
    # protocol. So a change also waits for nodes whose rows in ``member`` a person has deleted.
    Column("node", _text(12), primary_key=True),
    Column("incarnation", LargeBinary, primary_key=True),
    Column("lease", Float, nullable=False),
)

keeper_turn = Table(
    "keeper_turn",
    metadata,
    # One row, once any node has had a turn: whose turn it is, and when that ends, by the clock of the database.
    Column(
        "single", Boolean, CheckConstraint("single", name="keeper_turn_single"), primary_key=True, server_default=true()
    ),
    Column("holder", _text(32), nullable=False),
    Column("ends_at", Float, nullable=False),
)

schema_window = Table(
    "schema_window",
    metadata,
    # One row: which releases may serve, by the schema that each was made for.
    Column(
        "single",
        Boolean,
        CheckConstraint("single", name="schema_window_single"),
        primary_key=True,
        server_default=true(),
    ),
    Column("oldest", _text(8), nullable=False),
    # What the tables were brought to.
    Column("newest", _text(8), nullable=False),
    # Where the deployment has moved, for people; nothing may serve it from here any more.
    Column("moved_to", _text()),
)

receipt = Table(
    "receipt",
    metadata,
    # Of the write; also of its commit, where the write has changed what is logged.
    Column("tag", LargeBinary, primary_key=True),
    # Which attempt of the write it was, counted from 1.
    Column("attempt", Integer, nullable=False),
    # The generation when the commit was made.
    Column("number", BigInteger, nullable=False),
    # By the clock of the database.
    Column("made_at", Float, nullable=False),
    # The keeper removes those that no writer asks for any more, in every round.
    Index("receipt_made_at", "made_at"),
)
