"""What a database server says of itself, and of the role that a server of this service has there."""

import msgspec


class ServerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A database server as a connection of this process finds it. Times are in seconds."""

    release: str
    """The release of the database's software, such as ``15.6``."""
    is_encrypted: bool
    """Whether the connection is under TLS."""
    is_local: bool
    """Whether it does not leave this machine."""
    synchronous_commit: str
    """Which commits the role waits for, in PostgreSQL's words."""
    synchronous_standbys: str
    """The standbys that commits wait for, in PostgreSQL's words; empty if for none."""
    has_checksums: bool
    """Whether pages of tables have checksums."""
    role: str
    may_write: bool
    """Whether the role can serve, rather than only read."""
    may_change_tables: bool
    """Whether the role can alter, empty or drop tables: it owns one, may truncate one, or is a superuser."""
    may_create_tables: bool
    unlimited: tuple[str, ...]
    """The limits of time, by their names in PostgreSQL, that the role does not have."""
    time: float
    """What its clock showed, epoch seconds, while the uptime of this machine was ``asked`` to ``answered``."""
    asked: float
    answered: float
