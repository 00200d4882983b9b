"""What differs between kinds of keys in a hardware token: how one is made, recognized, and used."""

from collections.abc import Callable
from typing import Protocol, TypeVar

import msgspec

from strongroom.crypto.backing_keys import BackingKey
from strongroom.crypto.pkcs11.calls import Calls
from strongroom.crypto.pkcs11.cryptoki import Attributes

T = TypeVar("T")


class NewObject(msgspec.Struct, frozen=True):
    """A key that a token has just made: a session object that it may wrap, and the public key, if it has one.

    The public key is a SubjectPublicKeyInfo, DER; empty for a secret key.
    """

    handle: int
    public_key: bytes = b""


class UsableKey(Protocol):
    """A key outside of the token, wrapped. The token unwraps it when it is first used."""

    def run(self, work: Callable[[Calls, int], T]) -> T:
        """Run work with the calls of a session and the handle of the key. It may be run twice.

        Raises CryptokiError if the token says that the data are not valid, and TokenUnavailableError,
        TokenTimeoutError or TokenFaultError.
        """
        ...


class KeyKind(Protocol):
    """The keys of one spec. All methods but ``backing_key`` raise CryptokiError."""

    def generate(self, calls: Calls) -> NewObject:
        """Have the token make a key: a session object, sensitive, which it may wrap."""
        ...

    def create(self, calls: Calls, material: bytes) -> NewObject:
        """Make a key of known material, in the form that the software key back end keeps; otherwise as above."""
        ...

    def template(self, *, extractable: bool) -> Attributes:
        """Return the attributes of a key of this kind that is unwrapped: sensitive, with the uses of its spec alone.

        An ``extractable`` one may be wrapped again. It lives for one call.
        """
        ...

    def is_same(self, calls: Calls, first: int, second: int, public_key: bytes) -> bool:
        """Tell whether two objects are the same key, by using both. Tokens may lose a part of what they wrap."""
        ...

    def backing_key(self, key: UsableKey, public_key: bytes) -> BackingKey:
        """Return a key that is ready to use, by calls of the token."""
        ...
