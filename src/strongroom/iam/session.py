"""Sessions: the content of a session token.

A session is not stored. Its token has all of it, sealed (``operations/sts/session_tokens.py``), so it works on
every worker and after a restart. Its role or user is read again when the token is opened, so the session ends with
them.
"""

import msgspec
from typing_extensions import override


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A session of a role (``session_name`` set), or of a user or an account's root.

    ``unique_id`` is the role's or user's, empty for the root. ``policies`` are session policies as documents and
    ``policy_arns`` managed policies; together they limit the session. ``tags`` are session tags; ``transitive`` are the
    keys of those that the session of the next role inherits. ``provider`` is the identity provider of a web identity.
    ``padding`` makes the token as long as the request asked for. Times are in epoch seconds.
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
