"""Domain keys: one AES-256 key for each scope, versioned, sealed by the root key.

A scope is a Region, whose domain key wraps the backing keys of that Region, or ``iam``, which wraps the
secrets of the service itself and authenticates the rows of the database. The newest version wraps; older versions still
unwrap.

A rotation makes a newer version, which other processes learn of (``DomainKeys.reread``), and at its end destroys the
older ones.

The domain key of a Region can be in a hardware token. Then its id there is sealed, in a way of its own. Or it has a key
encryption key in the token, under which backing keys leave that token (full depth). Then the domain key and the id of
the other are sealed together, in a third way. Both have the same version, and are rotated and destroyed together.

The key of ``iam`` is sealed in one of two ways. Its binding says whether every row of its database has a message
authentication code. So without the root key, rows without a code cannot be made acceptable again, except with the
sealed key of a release that made none.

A process may open the domain keys of some scopes only. What the others have wrapped is then refused, and counts as
neither damaged nor lost.
"""

from collections.abc import Callable, Collection, Iterable
from typing import TypeVar

import msgspec
from msgspec.structs import replace
from typing_extensions import override

from strongroom.crypto.binding import binding
from strongroom.crypto.envelope import KEY_LENGTH, KeyWrapper, Wrapper, wrapping_version
from strongroom.crypto.recently_dropped import RecentlyDropped
from strongroom.crypto.row_authentication import CLOSED, RowKeys
from strongroom.crypto.seal import DestroyedDomainKeyError, Seal, SealedDomainKey, UnsealError
from strongroom.entropy import Entropy
from strongroom.errors import DependencyTimeoutException, UnsupportedOperationException

T = TypeVar("T")

IAM_SCOPE = "iam"
"""The domain key scope of the service's own secrets and of row authentication."""

FIRST_VERSION = 1
"""The version of the first domain key of a scope."""

_WITH_CODES = "rows-have-codes"
_IN_TOKEN = "in-token"  # noqa: S105 - a binding
_WITH_KEK = "with-key-encryption-key"


def create_domain_key(
    scope: str, version: int, seal: Seal, entropy: Entropy, now: float | None = None
) -> SealedDomainKey:
    """Make a domain key at ``now``, epoch seconds, for a database whose rows have codes, and return it sealed."""
    return replace(_sealed(OpenDomainKey(scope, version, entropy(KEY_LENGTH)), seal), created_at=now)


def token_domain_key(
    scope: str, version: int, object_id: bytes, seal: Seal, now: float | None = None
) -> SealedDomainKey:
    """Return the record of a Region's domain key that was made in a token, under ``object_id``, at ``now``."""
    return replace(_sealed(OpenDomainKey(scope, version, object_id, in_token=True), seal), created_at=now)


def full_depth_domain_key(
    scope: str, version: int, key_encryption_key: bytes, seal: Seal, entropy: Entropy, now: float | None = None
) -> SealedDomainKey:
    """Make a Region's domain key, and return its record with the object id of its key encryption key in a token."""
    opened = OpenDomainKey(scope, version, entropy(KEY_LENGTH), key_encryption_key=key_encryption_key)
    return replace(_sealed(opened, seal), created_at=now)


def reseal(record: SealedDomainKey, seal: Seal) -> SealedDomainKey:
    """Return a domain key sealed for a database whose rows have codes; raises UnsealError."""
    return replace(record, sealed=_sealed(_unsealed(record, seal)[0], seal).sealed)


class OpenDomainKey(msgspec.Struct, frozen=True):
    """A domain key, unsealed. If it is in a token, ``key`` is the id of its object there, which is no secret.

    ``key_encryption_key`` is the object id of its key encryption key in a token, empty without one.
    """

    scope: str
    version: int
    key: bytes
    in_token: bool = False
    key_encryption_key: bytes = b""

    @property
    def object_id(self) -> bytes | None:
        """The id of what it has in a token, or None."""
        return self.key if self.in_token else self.key_encryption_key or None

    @override
    def __repr__(self) -> str:
        return f"OpenDomainKey({self.scope}, {self.version})"


def unseal_domain_keys(sealed: Iterable[SealedDomainKey], seal: Seal) -> list[OpenDomainKey]:
    """Unseal domain keys; raises UnsealError if ``seal`` has not sealed them."""
    return [_unsealed(each, seal)[0] for each in sealed]


def reseal_domain_keys(sealed: Iterable[SealedDomainKey], before: Seal, after: Seal) -> list[SealedDomainKey]:
    """Seal domain keys anew, one by one, so that no two of them are open at a time; raises UnsealError."""
    return [_sealed(_unsealed(each, before)[0], after) for each in sealed]


def seal_domain_keys(opened: Iterable[OpenDomainKey], seal: Seal) -> list[SealedDomainKey]:
    """Seal domain keys that were unsealed, for a database whose rows have codes."""
    return [_sealed(each, seal) for each in opened]


class FullDepthKey(msgspec.Struct, frozen=True):
    """A Region's domain key that has a key encryption key in a token: what wraps with it, and the id of the other."""

    version: int
    wrapper: KeyWrapper
    object_id: bytes


class _Closed:
    """What wraps with a domain key in a token that is not known here: nothing."""

    def __init__(self, opened: OpenDomainKey) -> None:
        self._scope = opened.scope

    def wrap(self, _plaintext: bytes, _binding: bytes, /) -> bytes:
        raise UnsealError(f"the domain key of `{self._scope}` is in a hardware token")

    unwrap = wrap


class DomainKeys:
    """The unsealed domain keys of this process. Safe to use from several threads."""

    def __init__(
        self,
        sealed: Iterable[SealedDomainKey],
        seal: Seal,
        entropy: Entropy,
        wrapper_in_token: Callable[[OpenDomainKey], KeyWrapper] = _Closed,
        scopes: Collection[str] | None = None,
    ) -> None:
        """Unseal ``sealed``, those of ``scopes`` alone unless that is None.

        ``wrapper_in_token`` returns what wraps with a domain key that is in a token. Without it, nothing that such a
        key has wrapped can be opened. Raises UnsealError if the root key is not the one that sealed them.
        """
        self._scopes = scopes
        self._entropy = entropy
        self._wrapper_in_token = wrapper_in_token
        self._wrappers: dict[tuple[str, int], KeyWrapper] = {}
        self._newest: dict[str, tuple[int, KeyWrapper]] = {}
        self._dropped: RecentlyDropped[tuple[str, int], KeyWrapper] = RecentlyDropped()
        self._object_ids: dict[tuple[str, int], bytes] = {}
        self._made_at: dict[tuple[str, int], float | None] = {}
        self._closed: frozenset[tuple[str, int]] = frozenset()
        self.in_token: tuple[OpenDomainKey, ...] = ()
        """Those that are in a token, or have a key encryption key there."""
        self.row_keys = RowKeys(self.reread, self.take_over_changes)
        """Makes and checks the codes of rows."""
        self.rows_have_codes = True
        """Whether every row that decides must have a code. If not, an older release wrote them."""
        # Without ``follow``, no other process can change them.
        self._reread: Callable[[], None] = lambda: None
        self._reread_soon: Callable[[], None] = lambda: None
        self._noted = self._read = 0
        self.update(sealed, seal)

    def update(self, sealed: Iterable[SealedDomainKey], seal: Seal) -> None:
        """Take over the domain keys that are stored now, and drop those that are not.

        One that is dropped still opens what a call has read before that, until ``forget_dropped`` was called twice.
        Raises UnsealError, and changes nothing, if ``seal`` has not sealed them.
        """
        wrappers: dict[tuple[str, int], KeyWrapper] = {}
        newest: dict[str, tuple[int, KeyWrapper]] = {}
        in_token: list[OpenDomainKey] = []
        row_keys: dict[int, bytes] = {}
        have_codes = True
        own = self._own(sealed)
        made_at = _made_at(own)
        for each in sorted(own, key=lambda each: (each.scope, each.version)):
            opened, has_codes = _unsealed(each, seal)
            if each.scope == IAM_SCOPE:
                row_keys[each.version] = opened.key
                have_codes = have_codes and has_codes
            if opened.object_id is not None:
                in_token.append(opened)
            # That of a version that is dropped stays: what has begun before may need it.
            self._object_ids[each.scope, each.version] = opened.key_encryption_key
            wrapper = wrappers[each.scope, each.version] = self._wrapper(opened)
            newest[each.scope] = each.version, wrapper
        self.row_keys.update(row_keys)
        self.rows_have_codes = have_codes
        self._dropped.add({place: each for place, each in self._wrappers.items() if place not in wrappers})
        self.in_token = tuple(in_token)
        self._wrappers, self._newest, self._closed = wrappers, newest, frozenset()
        self._made_at = made_at

    def forget_dropped(self) -> None:
        """Forget the keys that were dropped before this was called last."""
        self._dropped.forget()
        self.row_keys.forget_dropped()

    def note_closed(self, sealed: Iterable[SealedDomainKey]) -> None:
        """Note that domain keys which are stored could not be opened, until the next ``update``.

        Nothing says that what they have wrapped is damaged: to use it raises DependencyTimeoutException. A version that
        is known may be among them, if it was given again (``are``): the key that was known is dropped.
        """
        self._closed = frozenset(place for place, _ in _made_at(self._own(sealed)).items() - self._made_at.items())
        self._made_at = {place: at for place, at in self._made_at.items() if place not in self._closed}
        wrappers = {place: self._wrappers[place] for place in sorted(self._wrappers) if place not in self._closed}
        self._newest = {scope: (version, each) for (scope, version), each in wrappers.items()}
        self._wrappers = wrappers
        self.row_keys.note_closed(version for scope, version in self._closed if scope == IAM_SCOPE)

    def _wrapper(self, opened: OpenDomainKey) -> KeyWrapper:
        if opened.in_token:
            return self._wrapper_in_token(opened)
        return Wrapper(opened.key, opened.version, self._entropy)

    def follow(self, reread: Callable[[], None], reread_soon: Callable[[], None]) -> None:
        """Have ``reread`` update these keys whenever a version is met that is not known.

        ``reread_soon`` has another thread do so when the store names a change.
        """
        self._reread = reread
        self._reread_soon = reread_soon

    def note_change(self) -> None:
        """Note that the store names a change. It does not wait for the database, so it is for the event loop too."""
        self._noted += 1
        self._reread_soon()

    def reread(self) -> None:
        """Take over what other processes have changed. Without ``follow``, there are none."""
        # In this order: what is noted meanwhile is read next time, and until the end, other threads read as well.
        noted = self._noted
        self._reread()
        self._read = max(self._read, noted)

    def take_over_changes(self) -> None:
        """Take over what other processes have changed, if a change was noted. It may wait for the database."""
        if self._is_stale:
            self.reread()

    @property
    def _is_stale(self) -> bool:
        """Whether a change was noted that is not read yet."""
        return self._read < self._noted

    def versions(self) -> set[tuple[str, int]]:
        """Return the scope and version of each domain key that this process has."""
        return {*self._wrappers}

    def opens(self, scope: str) -> bool:
        """Tell whether the domain keys of a scope are opened here."""
        return self._scopes is None or scope in self._scopes

    def are(self, sealed: Iterable[SealedDomainKey]) -> bool:
        """Tell whether these are all domain keys of ``sealed`` that are opened here, and no others.

        A database that was set back, as after a failover with loss, gives a version again, to another key. That one was
        made at another time.
        """
        return _made_at(self._own(sealed)) == self._made_at

    def _own(self, sealed: Iterable[SealedDomainKey]) -> list[SealedDomainKey]:
        return [each for each in sealed if self.opens(each.scope)]

    def _require_opened(self, scope: str) -> None:
        if not self.opens(scope):
            raise UnsupportedOperationException(
                f"This node does not serve the Region {scope}, so it cannot use key material of that Region."
            )

    def wrap(self, scope: str, plaintext: bytes, bound_to: bytes) -> bytes:
        """Wrap under the newest domain key of ``scope``; raises UnsealError if there is none.

        Raises UnsupportedOperationException if the domain keys of that scope are not opened here.
        """
        return self._newest_of(scope)[1].wrap(plaintext, bound_to)

    def newest_of_full_depth(self, scope: str) -> FullDepthKey | None:
        """Return the newest domain key of a Region; None if that has no key encryption key in a token.

        Raises UnsealError if there is none.
        """
        version, wrapper = self._newest_of(scope)
        object_id = self._object_ids.get((scope, version))
        return FullDepthKey(version, wrapper, object_id) if object_id else None

    def of_full_depth(self, scope: str, version: int, *, stored: bool = True) -> FullDepthKey:
        """Return the domain key of a Region with a key encryption key under which something was wrapped.

        Raises UnsealError if there is none, and as ``unwrap``, which has ``stored``.
        """
        wrapper = self._of_version((scope, version), stored=stored)
        object_id = self._object_ids.get((scope, version))
        if not object_id:
            raise UnsealError(f"the domain key {version} of `{scope}` has no key encryption key in a token")
        return FullDepthKey(version, wrapper, object_id)

    def _newest_of(self, scope: str) -> tuple[int, KeyWrapper]:
        # What a process wraps after it has seen the change must not need a version that is destroyed.
        if self._is_stale or scope not in self._newest:
            self._require_opened(scope)
            self.reread()
        found = self._newest.get(scope)
        if found is None and any(scope == each for each, _ in self._closed):
            raise DependencyTimeoutException(CLOSED)
        if found is None:
            raise UnsealError(f"no domain key for `{scope}`")
        return found

    def unwrap(self, scope: str, envelope: bytes, bound_to: bytes, *, stored: bool = True) -> bytes:
        """Return what was wrapped; raises UnsealError unless these keys wrapped it in ``scope`` for ``bound_to``.

        What is ``stored`` may be wrapped under a domain key that another process has made since. What a client sends
        is not, unless a change was noted and not read yet: the call that brings it began after that key was stored.
        Raises DestroyedDomainKeyError, an UnsealError, if the envelope names a version that was destroyed,
        DependencyTimeoutException if the domain key cannot be opened now, and UnsupportedOperationException if those of
        that scope are not opened here.
        """
        place = scope, wrapping_version(envelope)
        return self.opened_by(lambda: self._of_version(place, stored=stored).unwrap(envelope, bound_to))

    def opened_by(self, act: Callable[[], T]) -> T:
        """Return what ``act`` opens; it is tried again if that fails with domain keys that have changed since.

        A version may have been given again, to a domain key that was not read yet. Raises what ``act`` does.
        """
        known = self._wrappers
        try:
            return act()
        except UnsealError:
            self.take_over_changes()
            if self._wrappers is known:
                raise
        return act()

    def _of_version(self, place: tuple[str, int], *, stored: bool) -> KeyWrapper:
        if place not in self._wrappers and (stored or self._is_stale):
            self._require_opened(place[0])
            self.reread()
        wrapper = self._wrappers.get(place)
        if wrapper is None and place in self._closed:
            raise DependencyTimeoutException(CLOSED)
        if wrapper is None and stored:
            wrapper = self._dropped.get(place)
        if wrapper is None:
            kind = DestroyedDomainKeyError if self._is_destroyed(place) else UnsealError
            raise kind(f"no domain key for `{place[0]}` opens this envelope")
        return wrapper

    def _is_destroyed(self, place: tuple[str, int]) -> bool:
        """Tell whether a domain key that is not here was destroyed: then only newer ones are left."""
        kept = [version for scope, version in self._wrappers if scope == place[0]]
        return FIRST_VERSION <= place[1] < min(kept, default=0)


def _made_at(sealed: Iterable[SealedDomainKey]) -> dict[tuple[str, int], float | None]:
    return {(each.scope, each.version): each.created_at for each in sealed}


def _unsealed(record: SealedDomainKey, seal: Seal) -> tuple[OpenDomainKey, bool]:
    """Return a domain key, and whether it was sealed for a database whose rows have codes; raises UnsealError."""
    scope, version = record.scope, record.version
    others = (_WITH_CODES,) if scope == IAM_SCOPE else (_IN_TOKEN, _WITH_KEK)
    for kinds in ((), *((each,) for each in others)):
        try:
            content = seal.unseal(record.sealed, _binding(scope, version, *kinds))
        except UnsealError:
            if kinds == (others[-1],):
                raise
            continue
        key, object_id = (content[:KEY_LENGTH], content[KEY_LENGTH:]) if kinds == (_WITH_KEK,) else (content, b"")
        return OpenDomainKey(scope, version, key, kinds == (_IN_TOKEN,), object_id), kinds == (_WITH_CODES,)
    raise AssertionError


def _sealed(opened: OpenDomainKey, seal: Seal) -> SealedDomainKey:
    kinds: tuple[str, ...] = ()
    if opened.scope == IAM_SCOPE:
        kinds = (_WITH_CODES,)
    elif opened.in_token:
        kinds = (_IN_TOKEN,)
    elif opened.key_encryption_key:
        kinds = (_WITH_KEK,)
    content = opened.key + opened.key_encryption_key
    return SealedDomainKey(
        opened.scope, opened.version, seal.seal(content, _binding(opened.scope, opened.version, *kinds))
    )


def _binding(scope: str, version: int, *more: str) -> bytes:
    return binding("domain-key", scope, str(version), *more)
