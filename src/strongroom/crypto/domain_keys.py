"""Domain keys: one AES-256 key for each scope, versioned, sealed by the root key.

A scope is a Region, whose domain key wraps the backing keys of that Region, or ``iam``, which wraps the
secrets of the service itself and authenticates the rows of the database. The newest version wraps; older versions still
unwrap.

The domain key of a Region can be in a hardware token. Then its id there is sealed, in a way of its own.

The key of ``iam`` is sealed in one of two ways. Its binding says whether every row of its database has a message
authentication code. So without the root key, rows without a code cannot be made acceptable again, except with the
sealed key of a release that made none.
"""

from collections.abc import Callable, Iterable

import msgspec
from typing_extensions import override

from strongroom.crypto.binding import binding
from strongroom.crypto.envelope import KEY_LENGTH, KeyWrapper, Wrapper, wrapping_version
from strongroom.crypto.row_authentication import RowKeys
from strongroom.crypto.seal import Seal, SealedDomainKey, UnsealError
from strongroom.entropy import Entropy

IAM_SCOPE = "iam"
"""The domain key scope of the service's own secrets and of row authentication."""

_WITH_CODES = "rows-have-codes"
_IN_TOKEN = "in-token"  # noqa: S105 - a binding


def create_domain_key(scope: str, version: int, seal: Seal, entropy: Entropy) -> SealedDomainKey:
    """Make a domain key for a database whose rows have codes, and return it sealed."""
    return _sealed(OpenDomainKey(scope, version, entropy(KEY_LENGTH)), seal)


def token_domain_key(scope: str, version: int, object_id: bytes, seal: Seal) -> SealedDomainKey:
    """Return the record of a Region's domain key that is in a token, under ``object_id``."""
    return _sealed(OpenDomainKey(scope, version, object_id, in_token=True), seal)


def reseal(record: SealedDomainKey, seal: Seal) -> SealedDomainKey:
    """Return a domain key sealed for a database whose rows have codes; raises UnsealError."""
    return _sealed(_unsealed(record, seal)[0], seal)


class OpenDomainKey(msgspec.Struct, frozen=True):
    """A domain key, unsealed. If it is in a token, ``key`` is the id of its object there, which is no secret."""

    scope: str
    version: int
    key: bytes
    in_token: bool = False

    @override
    def __repr__(self) -> str:
        return f"OpenDomainKey({self.scope}, {self.version})"


def unseal_domain_keys(sealed: Iterable[SealedDomainKey], seal: Seal) -> list[OpenDomainKey]:
    """Unseal domain keys; raises UnsealError if ``seal`` has not sealed them."""
    return [_unsealed(each, seal)[0] for each in sealed]


def seal_domain_keys(opened: Iterable[OpenDomainKey], seal: Seal) -> list[SealedDomainKey]:
    """Seal domain keys that were unsealed, for a database whose rows have codes."""
    return [_sealed(each, seal) for each in opened]


class DomainKeys:
    """The unsealed domain keys of this process."""

    def __init__(
        self,
        sealed: Iterable[SealedDomainKey],
        seal: Seal,
        entropy: Entropy,
        in_token: Callable[[OpenDomainKey], KeyWrapper] | None = None,
    ) -> None:
        """Unseal ``sealed``. ``in_token`` returns what wraps with a domain key that is in a token.

        Without it, nothing that such a key has wrapped can be opened. Raises UnsealError if the root key is not the one
        that sealed them.
        """
        self._wrappers: dict[tuple[str, int], KeyWrapper] = {}
        self._newest: dict[str, int] = {}
        self.row_keys = RowKeys()
        """Makes and checks the codes of rows."""
        self.rows_have_codes = True
        """Whether every row that decides must have a code. If not, an older release wrote them."""
        self.in_token: list[OpenDomainKey] = []
        """Those that are in a token."""
        for each in sealed:
            opened, has_codes = _unsealed(each, seal)
            if each.scope == IAM_SCOPE:
                self.row_keys.add(each.version, opened.key)
                self.rows_have_codes = self.rows_have_codes and has_codes
            if not opened.in_token:
                self._wrappers[each.scope, each.version] = Wrapper(opened.key, each.version, entropy)
            else:
                self.in_token.append(opened)
                if in_token is not None:
                    self._wrappers[each.scope, each.version] = in_token(opened)
            self._newest[each.scope] = max(each.version, self._newest.get(each.scope, 0))

    def wrap(self, scope: str, plaintext: bytes, bound_to: bytes) -> bytes:
        """Wrap under the newest domain key of ``scope``; raises UnsealError if there is none."""
        wrapper = self._wrappers.get((scope, self._newest.get(scope, 0)))
        if wrapper is None:
            raise UnsealError(f"no domain key for `{scope}`")
        return wrapper.wrap(plaintext, bound_to)

    def unwrap(self, scope: str, envelope: bytes, bound_to: bytes) -> bytes:
        """Return what was wrapped; raises UnsealError unless these keys wrapped it in ``scope`` for ``bound_to``."""
        wrapper = self._wrappers.get((scope, wrapping_version(envelope)))
        if wrapper is None:
            raise UnsealError(f"no domain key for `{scope}` opens this envelope")
        return wrapper.unwrap(envelope, bound_to)


def _unsealed(record: SealedDomainKey, seal: Seal) -> tuple[OpenDomainKey, bool]:
    """Return a domain key, and whether it was sealed for a database whose rows have codes; raises UnsealError."""
    kind = _WITH_CODES if record.scope == IAM_SCOPE else _IN_TOKEN
    try:
        key = seal.unseal(record.sealed, _binding(record.scope, record.version))
    except UnsealError:
        key = seal.unseal(record.sealed, _binding(record.scope, record.version, kind))
        return OpenDomainKey(record.scope, record.version, key, kind == _IN_TOKEN), kind == _WITH_CODES
    return OpenDomainKey(record.scope, record.version, key), False


def _sealed(opened: OpenDomainKey, seal: Seal) -> SealedDomainKey:
    kinds = (_WITH_CODES,) if opened.scope == IAM_SCOPE else (_IN_TOKEN,) if opened.in_token else ()
    return SealedDomainKey(
        opened.scope, opened.version, seal.seal(opened.key, _binding(opened.scope, opened.version, *kinds))
    )


def _binding(scope: str, version: int, *more: str) -> bytes:
    return binding("domain-key", scope, str(version), *more)
