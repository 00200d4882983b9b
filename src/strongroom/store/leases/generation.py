"""How far a database has come, and what led there."""

import msgspec


class Generation(msgspec.Struct, frozen=True):
    """A state of the database: the number of its newest commit, and the random tag of that commit.

    The same number with another tag is a state of another history, such as a restored backup.
    """

    number: int
    tag: bytes


NO_GENERATION = Generation(0, b"")
"""What no database has: it stands for none that is known."""


class TaggedChange(msgspec.Struct, frozen=True):
    """An entry of the change log, and the tag of the commit that it belongs to.

    ``kind`` is a text, because a later release may write kinds that this one does not know.
    """

    sequence: int
    tag: bytes
    kind: str
    account: str
    region: str
    name: str
