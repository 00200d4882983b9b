"""Domain keys: one AES-256 key for each scope, versioned, sealed by the root key.

A scope is a Region, whose domain key wraps the backing keys of that Region, or ``iam``, which wraps the
secrets of the service itself and authenticates the rows of the database. The newest version wraps; older versions still
unwrap.

A rotation makes a newer version, which other processes learn of (``DomainKeys.reread``), and at its end destroys the
older ones.

The key of ``iam`` is sealed in one of two ways. Its binding says whether every row of its database has a message
authentication code. So without the root key, rows without a code cannot be made acceptable again, except with the
sealed key of a release that made none.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress

import msgspec
from msgspec.structs import replace
from typing_extensions import override

from strongroom.crypto.binding import binding
from strongroom.crypto.envelope import KEY_LENGTH, Wrapper, wrapping_version
from strongroom.crypto.recently_dropped import RecentlyDropped
from strongroom.crypto.row_authentication import CLOSED, RowKeys
from strongroom.crypto.seal import Seal, SealedDomainKey, UnsealError
from strongroom.entropy import Entropy
from strongroom.errors import DependencyTimeoutException

IAM_SCOPE = "iam"
"""The domain key scope of the service's own secrets and of row authentication."""

_WITH_CODES = "rows-have-codes"


def create_domain_key(
    scope: str, version: int, seal: Seal, entropy: Entropy, now: float | None = None
) -> SealedDomainKey:
    """Make a domain key at ``now``, epoch seconds, for a database whose rows have codes, and return it sealed."""
    return replace(_sealed(scope, version, entropy(KEY_LENGTH), seal), created_at=now)


def reseal(record: SealedDomainKey, seal: Seal) -> SealedDomainKey:
    """Return a domain key sealed for a database whose rows have codes; raises UnsealError."""
    return replace(record, sealed=_sealed(record.scope, record.version, _unsealed(record, seal)[0], seal).sealed)


class OpenDomainKey(msgspec.Struct, frozen=True):
    """A domain key, unsealed: only for a backup that contains the domain keys, and for its restore."""

    scope: str
    version: int
    key: bytes

    @override
    def __repr__(self) -> str:
        return f"OpenDomainKey({self.scope}, {self.version})"


def unseal_domain_keys(sealed: Iterable[SealedDomainKey], seal: Seal) -> list[OpenDomainKey]:
    """Unseal domain keys; raises UnsealError if ``seal`` has not sealed them."""
    return [OpenDomainKey(each.scope, each.version, _unsealed(each, seal)[0]) for each in sealed]


def seal_domain_keys(opened: Iterable[OpenDomainKey], seal: Seal) -> list[SealedDomainKey]:
    """Seal domain keys that were unsealed, for a database whose rows have codes."""
    return [_sealed(each.scope, each.version, each.key, seal) for each in opened]


class DomainKeys:
    """The unsealed domain keys of this process. Safe to use from several threads."""

    def __init__(self, sealed: Iterable[SealedDomainKey], seal: Seal, entropy: Entropy) -> None:
        """Unseal ``sealed``; raises UnsealError if the root key is not the one that sealed them."""
        self._entropy = entropy
        self._wrappers: dict[tuple[str, int], Wrapper] = {}
        self._newest: dict[str, Wrapper] = {}
        self._dropped: RecentlyDropped[tuple[str, int], Wrapper] = RecentlyDropped()
        self._closed: frozenset[tuple[str, int]] = frozenset()
        self.row_keys = RowKeys(self.reread)
        """Makes and checks the codes of rows."""
        self.rows_have_codes = True
        """Whether every row that decides must have a code. If not, an older release wrote them."""
        self._reread: Callable[[], None] = _nothing
        self.update(sealed, seal)

    def update(self, sealed: Iterable[SealedDomainKey], seal: Seal) -> None:
        """Take over the domain keys that are stored now, and drop those that are not.

        One that is dropped still opens what a call has read before that, until ``forget_dropped`` was called twice.
        Raises UnsealError, and changes nothing, if ``seal`` has not sealed them.
        """
        wrappers: dict[tuple[str, int], Wrapper] = {}
        newest: dict[str, Wrapper] = {}
        row_keys: dict[int, bytes] = {}
        have_codes = True
        for each in sorted(sealed, key=lambda each: (each.scope, each.version)):
            key, has_codes = _unsealed(each, seal)
            if each.scope == IAM_SCOPE:
                row_keys[each.version] = key
                have_codes = have_codes and has_codes
            newest[each.scope] = wrappers[each.scope, each.version] = Wrapper(key, each.version, self._entropy)
        self.row_keys.update(row_keys)
        self.rows_have_codes = have_codes
        self._dropped.add({place: each for place, each in self._wrappers.items() if place not in wrappers})
        self._wrappers, self._newest, self._closed = wrappers, newest, frozenset()

    def forget_dropped(self) -> None:
        """Forget the keys that were dropped before this was called last."""
        self._dropped.forget()
        self.row_keys.forget_dropped()

    def note_closed(self, sealed: Iterable[SealedDomainKey]) -> None:
        """Note that domain keys which are stored could not be opened, until the next ``update``.

        Nothing says that what they have wrapped is damaged: to use it raises DependencyTimeoutException.
        """
        self._closed = frozenset((each.scope, each.version) for each in sealed) - self.versions()
        self.row_keys.note_closed(version for scope, version in self._closed if scope == IAM_SCOPE)

    def follow(self, reread: Callable[[], None]) -> None:
        """Have ``reread`` update these keys whenever a version is met that is not known, or the store names one."""
        self._reread = reread

    def reread(self) -> None:
        """Take over what other processes have changed. Without ``follow``, there are none."""
        self._reread()

    def versions(self) -> set[tuple[str, int]]:
        """Return the scope and version of each domain key that this process has."""
        return {*self._wrappers}

    def wrap(self, scope: str, plaintext: bytes, bound_to: bytes) -> bytes:
        """Wrap under the newest domain key of ``scope``; raises UnsealError if there is none."""
        if scope not in self._newest:
            self.reread()
        wrapper = self._newest.get(scope)
        if wrapper is None:
            raise UnsealError(f"no domain key for `{scope}`")
        return wrapper.wrap(plaintext, bound_to)

    def unwrap(self, scope: str, envelope: bytes, bound_to: bytes, *, stored: bool = True) -> bytes:
        """Return what was wrapped; raises UnsealError unless these keys wrapped it in ``scope`` for ``bound_to``.

        What is ``stored`` may be wrapped under a domain key that another process has made since. What a client sends
        is not: its answer was sent after that key was stored, and the call that brings it begins later.
        Raises DependencyTimeoutException if the domain key cannot be opened now.
        """
        place = (scope, wrapping_version(envelope))
        if stored and place not in self._wrappers:
            self.reread()
        wrapper = self._wrappers.get(place) or (self._dropped.get(place) if stored else None)
        if wrapper is None and place in self._closed:
            raise DependencyTimeoutException(CLOSED)
        if wrapper is None:
            raise UnsealError(f"no domain key for `{scope}` opens this envelope")
        return wrapper.unwrap(envelope, bound_to)


def _nothing() -> None:
    """Do nothing, where no other process can change the domain keys."""


def _unsealed(record: SealedDomainKey, seal: Seal) -> tuple[bytes, bool]:
    """Return a domain key, and whether it was sealed for a database whose rows have codes; raises UnsealError."""
    if record.scope == IAM_SCOPE:
        with suppress(UnsealError):
            return seal.unseal(record.sealed, _binding(record, _WITH_CODES)), True
    return seal.unseal(record.sealed, _binding(record)), False


def _sealed(scope: str, version: int, key: bytes, seal: Seal) -> SealedDomainKey:
    record = SealedDomainKey(scope, version, b"")
    bound_to = _binding(record, _WITH_CODES) if scope == IAM_SCOPE else _binding(record)
    return replace(record, sealed=seal.seal(key, bound_to))


def _binding(record: SealedDomainKey, *more: str) -> bytes:
    return binding("domain-key", record.scope, str(record.version), *more)
