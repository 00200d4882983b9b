"""What an agent asks of the database, as plain values. ``store.postgresql`` performs them.

A *durable* request has returned when its commit has: with a synchronous standby, when that has it on disk. So its
success proves that the server which performed it was the current primary after the request was sent.
"""

from collections.abc import Generator, Sequence
from typing import TypeAlias

import msgspec

from strongroom.store.leases.generation import Generation, TaggedChange


class Member(msgspec.Struct, frozen=True):
    """A row of the table ``member``: a node that may have a lease.

    ``renewed`` counts its renewals, ``acked`` is the newest generation that it has acknowledged, ``lease`` is in
    seconds. The two numbers are -1 if its row was deleted, and not by the protocol.
    """

    node: str
    incarnation: bytes
    renewed: int
    acked: int
    lease: float

    @property
    def is_deleted(self) -> bool:
        """Whether there is a lease without a row, which cannot be renewed."""
        return self.renewed < 0


class About(msgspec.Struct, frozen=True):
    """What a node says of itself: the release of its software, where it listens, its Regions (by commas), its workers.

    Other nodes take nothing of it into account for leases.
    """

    release: str
    listen: str = ""
    regions: str = ""
    workers: int = 1


class FoundMembers(msgspec.Struct, frozen=True):
    """All members, and the number of the generation in the same snapshot."""

    number: int
    members: Sequence[Member]


class FindMember(msgspec.Struct, frozen=True):
    """Find the row of a node. The reply is a ``Member`` or None."""

    node: str


class Join(msgspec.Struct, frozen=True):
    """Insert a row with nothing acknowledged. Durable. The reply tells whether that was done.

    If ``replaces`` is given, update that row instead, provided that incarnation and ``renewed`` are as they were; else
    do nothing if the node has a row. ``about`` is for people.
    """

    node: str
    incarnation: bytes
    lease: float
    about: About
    replaces: Member | None


class Renew(msgspec.Struct, frozen=True):
    """Count ``renewed`` up in the row of this incarnation. Durable.

    The reply is the generation, in the snapshot of the same statement; None if there is no such row.
    """

    node: str
    incarnation: bytes


class ReadChanges(msgspec.Struct, frozen=True):
    """Read the generation and the changes from number ``since`` on, in one snapshot; none if there are too many.

    The reply is a ``FoundChanges``.
    """

    since: int
    most: int


class FoundChanges(msgspec.Struct, frozen=True):
    """The reply to ``ReadChanges``, with the changes by ascending number."""

    generation: Generation
    changes: Sequence[TaggedChange]


class Acknowledge(msgspec.Struct, frozen=True):
    """Raise ``acked`` in the row of this incarnation, if the database has that number. It need not be durable.

    The reply tells whether the row has that number now.
    """

    node: str
    incarnation: bytes
    number: int


class Leave(msgspec.Struct, frozen=True):
    """Delete the row of this incarnation. Durable. There is no reply."""

    node: str
    incarnation: bytes


Request: TypeAlias = FindMember | Join | Renew | ReadChanges | Acknowledge | Leave
Reply: TypeAlias = Member | Generation | FoundChanges | bool | None
Steps: TypeAlias = Generator[Request, Reply, None]
"""A sequence of requests, each sent the reply to the one before. A request that failed ends it (``close``)."""
