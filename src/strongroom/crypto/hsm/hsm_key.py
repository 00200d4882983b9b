"""A key that is kept outside of the token, wrapped, and unwrapped into a session object when it is first used."""

from collections.abc import Callable
from itertools import count
from typing import TypeVar

from strongroom.crypto.hsm.key_kind import KeyKind
from strongroom.crypto.hsm.wrapped_keys import unwrap_key
from strongroom.crypto.pkcs11.calls import Calls
from strongroom.crypto.pkcs11.connection import TokenSession
from strongroom.crypto.pkcs11.token import Token
from strongroom.crypto.pkcs11.wrapping import key_encryption_key

T = TypeVar("T")

_numbers = count()


class HsmKey:
    """A ``UsableKey``. Its session object is destroyed soon after nothing refers to this any more.

    It may be destroyed before, to make room for others, and is made again then.
    """

    __slots__ = ("_key_encryption_key", "_kind", "_may_be_there", "_name", "_token", "_wrapped")

    def __init__(self, token: Token, key_encryption_key: bytes, kind: KeyKind, wrapped: bytes) -> None:
        """``key_encryption_key`` is the id of the object that has wrapped the key."""
        self._token = token
        self._key_encryption_key = key_encryption_key
        self._kind = kind
        self._wrapped = wrapped
        self._may_be_there = False
        # A name of its own, so that no other of the same key destroys what this one uses.
        self._name = b"backing key %d" % next(_numbers)

    def run(self, work: Callable[[Calls, int], T]) -> T:
        """Run work with the calls of a session and the handle of the key; raises as ``UsableKey`` says."""

        def in_session(session: TokenSession) -> T:
            return work(session.calls, session.handle(self._name, lambda calls: self._unwrapped(session, calls)))

        return self._token.run(in_session)

    def _unwrapped(self, session: TokenSession, calls: Calls) -> int:
        under = key_encryption_key(session, self._key_encryption_key)
        handle = unwrap_key(session, calls, under, self._kind, self._wrapped)
        self._may_be_there = True
        return handle

    def __del__(self) -> None:
        """Have the session object destroyed. This may run anywhere, so it only leaves the name."""
        if self._may_be_there:
            self._token.discard(self._name)
