"""Session tokens: how the credentials of a session are made and sealed.

A session is not stored. Its token holds all of it: access key, secret, times, policies and tags. The token is the
session in MessagePack, sealed with the domain key named ``iam``, in base64. So its bearer can neither read nor change
it. Every worker can open it (``snapshot/principals.py``), also after a restart.
"""

import base64

import msgspec
from msgspec.structs import replace

from strongroom.crypto.access_keys import new_access_key
from strongroom.crypto.binding import SESSION_BINDING
from strongroom.iam.session import Session
from strongroom.operations.context import Context
from strongroom.operations.sts.shapes import Credentials


def issue(context: Context, session: Session, seconds: int, min_token_size: int | None = None) -> Credentials:
    """Return the credentials of a session that lasts ``seconds`` from now; its key, secret and times are filled in.

    The token has at least ``min_token_size`` characters, so that clients can test whether they have room for long
    tokens.
    """
    backends = context.backends
    key = new_access_key("ASIA", backends.entropy, session.account)
    full = replace(
        session,
        access_key_id=key.access_key_id,
        secret=key.secret,
        issued_at=context.now,
        expires_at=float(int(context.now) + seconds),
    )
    token = _sealed(context, full)
    if len(token) < (min_token_size or 0):
        token = _sealed(context, replace(full, padding="0" * (min_token_size or 0)))
    return Credentials(key.access_key_id, key.secret, token, full.expires_at)


def _sealed(context: Context, session: Session) -> str:
    """Return the token of a session."""
    sealed = context.backends.secrets.wrap(msgspec.msgpack.encode(session), SESSION_BINDING)
    return base64.b64encode(sealed).decode()
