"""Temporary credentials: what a session token says about its bearer.

Nothing of a session is stored. The token carries all of it, sealed by the service, so that a session works on every
worker and survives restarts; who it speaks for is looked up anew, so that it ends with its role or user.
"""

import msgspec
from typing_extensions import override


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A session of a role (``session_name`` set), or of a user or an account's root.

    ``unique_id``: the role's or user's, empty for the root. ``policies`` are session policies as documents,
    ``policy_arns`` managed ones; together they limit the session. ``tags`` are session tags, ``transitive`` the keys of
    those that the next role's session inherits. ``provider`` vouched for a web identity. ``padding`` makes the token as
    long as was asked for. Times in epoch seconds.
    """

    access_key_id: str
    secret: str
    account: str
    issued_at: float
    expires_at: float
    partition: str = "aws"
    unique_id: str = ""
    session_name: str = ""
    policies: tuple[str, ...] = ()
    policy_arns: tuple[str, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    transitive: tuple[str, ...] = ()
    provider: str | None = None
    source_identity: str | None = None
    padding: str = ""

    @override
    def __repr__(self) -> str:
        return f"Session({self.access_key_id})"
