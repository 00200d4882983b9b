"""Grants: delegated permission to use one key, for some operations, under constraints.

Source: KMS Developer Guide, "Grants in AWS KMS" and "Grant constraints"; KMS API Reference, CreateGrant. A grant can
only allow. An encryption context constraint compares the names of pairs without regard to case and the values exactly.
It does not apply to DescribeKey and RetireGrant. A source ARN applies to all operations but RetireGrant.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b, sha256
from itertools import chain
from typing import Protocol

import msgspec

from strongroom.keys.arns import KeyLocator
from strongroom.keys.kms_key import KmsKey
from strongroom.keys.specs import KeySpec, KeyUsage

MAX_GRANTS = 50_000
"""Resource quota: grants on one key (KMS Developer Guide, "Quotas")."""

Pair = tuple[str, str]
Pairs = frozenset[Pair]
"""An encryption context with its names in lower case."""

Label = int
"""An index key of a grant: a hash of 48 bits of an encryption context, of one of its pairs, or of nothing.

Two contexts can have the same label. A lookup by label finds candidates, whose constraints are then compared exactly.
"""

_LABEL_LENGTH = 6
_MAX_LABELS = 16_384
NO_CONTEXT: Label = 0
ANY_CONTEXT: Label = 1
"""The label of grants for operations without context constraints. A grant can have this label and another."""


class GrantOperation(StrEnum):
    """What a grant can permit."""

    DECRYPT = "Decrypt"
    ENCRYPT = "Encrypt"
    GENERATE_DATA_KEY = "GenerateDataKey"
    GENERATE_DATA_KEY_WITHOUT_PLAINTEXT = "GenerateDataKeyWithoutPlaintext"
    RE_ENCRYPT_FROM = "ReEncryptFrom"
    RE_ENCRYPT_TO = "ReEncryptTo"
    SIGN = "Sign"
    VERIFY = "Verify"
    GET_PUBLIC_KEY = "GetPublicKey"
    CREATE_GRANT = "CreateGrant"
    RETIRE_GRANT = "RetireGrant"
    DESCRIBE_KEY = "DescribeKey"
    GENERATE_DATA_KEY_PAIR = "GenerateDataKeyPair"
    GENERATE_DATA_KEY_PAIR_WITHOUT_PLAINTEXT = "GenerateDataKeyPairWithoutPlaintext"
    GENERATE_MAC = "GenerateMac"
    VERIFY_MAC = "VerifyMac"
    DERIVE_SHARED_SECRET = "DeriveSharedSecret"  # noqa: S105 - an operation's name
    ENCAPSULATE = "Encapsulate"
    DECAPSULATE = "Decapsulate"


_BY_USAGE: dict[KeyUsage, frozenset[GrantOperation]] = {
    KeyUsage.ENCRYPT_DECRYPT: frozenset(
        {
            GrantOperation.ENCRYPT,
            GrantOperation.DECRYPT,
            GrantOperation.RE_ENCRYPT_FROM,
            GrantOperation.RE_ENCRYPT_TO,
        }
    ),
    KeyUsage.SIGN_VERIFY: frozenset({GrantOperation.SIGN, GrantOperation.VERIFY}),
    KeyUsage.GENERATE_VERIFY_MAC: frozenset({GrantOperation.GENERATE_MAC, GrantOperation.VERIFY_MAC}),
    KeyUsage.KEY_AGREEMENT: frozenset({GrantOperation.DERIVE_SHARED_SECRET}),
    KeyUsage.ENCAPSULATE_DECAPSULATE: frozenset({GrantOperation.ENCAPSULATE, GrantOperation.DECAPSULATE}),
}
_BY_ALL = frozenset({GrantOperation.CREATE_GRANT, GrantOperation.RETIRE_GRANT, GrantOperation.DESCRIBE_KEY})
_BY_SYMMETRIC = frozenset(
    {
        GrantOperation.GENERATE_DATA_KEY,
        GrantOperation.GENERATE_DATA_KEY_WITHOUT_PLAINTEXT,
        GrantOperation.GENERATE_DATA_KEY_PAIR,
        GrantOperation.GENERATE_DATA_KEY_PAIR_WITHOUT_PLAINTEXT,
    }
)
_WITHOUT_CONTEXT = frozenset({GrantOperation.DESCRIBE_KEY, GrantOperation.RETIRE_GRANT})


class Constraints(msgspec.Struct, frozen=True):
    """When a grant applies. At most one of the two contexts is set."""

    context_equals: Mapping[str, str] | None = None
    context_subset: Mapping[str, str] | None = None
    source_arn: str | None = None

    @property
    def context(self) -> Pairs:
        """The pairs of the context constraint; empty without one."""
        return pairs(self.context_equals or self.context_subset)

    def admit(self, have: Pairs) -> bool:
        """Tell whether a request's encryption context satisfies the constraint.

        A context that has a name of the constraint twice, in another case and with another value, does not.
        """
        if self.context_equals is not None:
            return have == pairs(self.context_equals)
        if not self.context_subset:
            return True
        wanted = pairs(self.context_subset)
        if not wanted <= have:
            return False
        repeated = _repeated_names(have)
        return not repeated or sum(repeated.get(name, 1) for name in {name for name, _ in wanted}) == len(wanted)

    def at_least_as_strict_as(self, other: "Constraints") -> bool:
        """Tell whether the other constraints are satisfied by every request that satisfies these."""
        if other.source_arn is not None and self.source_arn != other.source_arn:
            return False
        if other.context_equals is not None:
            return self.context_equals is not None and pairs(self.context_equals) == pairs(other.context_equals)
        return pairs(other.context_subset) <= self.context


class Party(msgspec.Struct, frozen=True):
    """A grantee or retiring principal: the ARN in the request, and the name that is compared with callers.

    ``name`` is a user's or role's unique id, an account id, ``Service:…``, or the ARN of a session; see
    ``iam.Principal.own_names``.
    """

    shown: str
    name: str
    service: bool = False


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """A grant on one key. ``created_at`` is in epoch seconds; ``issuing_account`` is the account that created it."""

    grant_id: str
    account: str
    region: str
    key_id: str
    grantee: Party
    retiring: Party | None
    operations: tuple[GrantOperation, ...]
    constraints: Constraints
    name: str
    issuing_account: str
    created_at: float

    @property
    def locator(self) -> KeyLocator:
        """The account, Region and id of the key."""
        return KeyLocator(self.account, self.region, self.key_id)

    def same_terms(self, other: "Grant") -> bool:
        """Tell whether two grants have the same terms, as a retry of CreateGrant makes them.

        A principal is the same under any name by which it is shown: earlier builds kept an account's id, and a user or
        role can have been given another name.
        """
        return _terms(self) == _terms(other)


def terms_digest(grant: Grant) -> str:
    """Return a digest (SHA-256, hex) that is equal for grants with the same terms; see ``Grant.same_terms``."""
    return sha256(msgspec.json.encode(_terms(grant), order="sorted")).hexdigest()


def _terms(grant: Grant) -> Grant:
    """Return a grant without what makes no difference to its terms."""
    return msgspec.structs.replace(
        grant,
        grant_id="",
        created_at=0.0,
        operations=tuple(sorted({*grant.operations})),
        grantee=msgspec.structs.replace(grant.grantee, shown=""),
        retiring=None if grant.retiring is None else msgspec.structs.replace(grant.retiring, shown=""),
    )


Context = Pairs | Pair | None
"""The part of an encryption context that an index key has: all of it, one pair, or nothing."""

IndexKey = tuple[GrantOperation, str | None, Context]
"""The key of ``GrantIndex``: an operation, a source ARN, and a part of the encryption context."""


Lookup = tuple[GrantOperation, Pairs, str | None]
"""What a grant has to permit to be a candidate: an operation with an encryption context and a source ARN."""


class Search(Protocol):
    """A search for a grant with which something is permitted."""

    @property
    def lookups(self) -> Sequence[Lookup]:
        """Lookups in an index, each of which finds all grants that are searched for, and perhaps others."""
        ...

    def permits(self, grant: Grant) -> bool:
        """Tell whether this grant is one."""
        ...


class UseSearch(msgspec.Struct, frozen=True):
    """The search for a grant that permits an operation, with an encryption context and a source ARN."""

    operation: GrantOperation
    have: Pairs
    source_arn: str | None

    @property
    def lookups(self) -> Sequence[Lookup]:
        """The one lookup of the operation."""
        return ((self.operation, self.have, self.source_arn),)

    def permits(self, grant: Grant) -> bool:
        """Tell whether a grant permits it."""
        if self.operation not in grant.operations:
            return False
        source = grant.constraints.source_arn
        if self.operation is not GrantOperation.RETIRE_GRANT and source not in {None, self.source_arn}:
            return False
        return self.operation in _WITHOUT_CONTEXT or grant.constraints.admit(self.have)


class DelegationSearch(msgspec.Struct, frozen=True):
    """The search for a grant that allows its grantee to make a grant.

    The new one must not have more ``operations`` or weaker ``constraints``. ``source_arn`` is that of the call.
    """

    operations: frozenset[GrantOperation]
    constraints: Constraints
    source_arn: str | None

    @property
    def lookups(self) -> Sequence[Lookup]:
        """One lookup for each operation that the grant has to permit: few grants may permit one of them."""
        needed = {GrantOperation.CREATE_GRANT, *self.operations}
        return tuple((operation, self.constraints.context, self.source_arn) for operation in needed)

    def permits(self, grant: Grant) -> bool:
        """Tell whether a grant allows that."""
        return (
            GrantOperation.CREATE_GRANT in grant.operations
            and self.operations.issubset(grant.operations)
            and grant.constraints.source_arn in {None, self.source_arn}
            and self.constraints.at_least_as_strict_as(grant.constraints)
        )


class TooManyCandidates(Exception):
    """More grants would have to be compared than the caller has time for."""


class GrantIndex:
    """The grants of one grantee on one key. A lookup takes the same time for few grants and for many.

    A grant is indexed once for each of its operations, by what a request must have to use it: the source ARN, and the
    whole context (equals) or one pair of it (subset). A request looks up each of its own pairs. A subset can be indexed
    by any of its pairs. The index uses the pair that the fewest grants have so far, because it is the most selective: a
    tenant's id rather than the ``app`` that all grants have in common.
    """

    def __init__(self, grants: Iterator[Grant]) -> None:
        self._grants: dict[IndexKey, dict[str, Grant]] = {}
        self._keys_of: dict[str, list[IndexKey]] = {}
        for grant in grants:
            self.add(grant)

    def __len__(self) -> int:
        return len(self._keys_of)

    def add(self, grant: Grant) -> None:
        """Add a grant, or replace the one with its id."""
        self.remove(grant.grant_id)
        contexts, source = _contexts(grant.constraints), grant.constraints.source_arn
        index_keys = [self._index_key(operation, source, contexts) for operation in grant.operations]
        for index_key in index_keys:
            self._grants.setdefault(index_key, {})[grant.grant_id] = grant
        self._keys_of[grant.grant_id] = index_keys

    def remove(self, grant_id: str) -> bool:
        """Remove a grant; return False if it is not in the index."""
        index_keys = self._keys_of.pop(grant_id, ())
        for index_key in index_keys:
            found = self._grants[index_key]
            del found[grant_id]
            if not found:
                del self._grants[index_key]
        return bool(index_keys)

    def find(self, search: Search, most: int | None = None) -> Grant | None:
        """Return a grant that a search permits; None if there is none.

        Raises TooManyCandidates if none of the first ``most`` candidates is one, and there are more.
        """
        for number, grant in enumerate(chain.from_iterable(self._groups(search)), 1):
            if search.permits(grant):
                return grant
            if number == most:
                raise TooManyCandidates
        return None

    def candidates(self, search: Search) -> list[Grant]:
        """Return the grants among which are all that a search permits."""
        return list(chain.from_iterable(self._groups(search)))

    def _groups(self, search: Search) -> Sequence[Iterable[Grant]]:
        """Return the candidates of a search, by index key: of its alternative lookups the one with the fewest."""
        if not self._grants:
            return ()
        found = [self._looked_up(*lookup) for lookup in search.lookups]
        fewest = min(found, key=lambda groups: sum(map(len, groups))) if len(found) > 1 else found[0]
        return [group.values() for group in fewest]

    def _looked_up(self, operation: GrantOperation, have: Pairs, source_arn: str | None) -> list[dict[str, Grant]]:
        contexts: tuple[Context, ...] = (None,) if operation in _WITHOUT_CONTEXT else (None, have, *have)
        sources = {None, None if operation is GrantOperation.RETIRE_GRANT else source_arn}
        index_keys = ((operation, source, context) for source in sources for context in contexts)
        return [self._grants[index_key] for index_key in index_keys if index_key in self._grants]

    def _index_key(self, operation: GrantOperation, source: str | None, contexts: Sequence[Context]) -> IndexKey:
        """Return the index key with the fewest grants, of those that every permitted request looks up."""
        if operation is GrantOperation.RETIRE_GRANT:
            source = None
        if operation in _WITHOUT_CONTEXT:
            contexts = (None,)
        index_keys = ((operation, source, context) for context in contexts)
        return min(index_keys, key=lambda index_key: len(self._grants.get(index_key, ())))


def operations_of(key: KmsKey) -> frozenset[GrantOperation]:
    """Return the operations a grant on a key can permit (KMS Developer Guide, "Grant operations")."""
    fit = _BY_USAGE[key.usage] | _BY_ALL
    return fit | _BY_SYMMETRIC if key.spec is KeySpec.SYMMETRIC_DEFAULT else fit | _asymmetric(key)


def _asymmetric(key: KmsKey) -> frozenset[GrantOperation]:
    hmac = key.usage is KeyUsage.GENERATE_VERIFY_MAC
    return frozenset() if hmac else frozenset({GrantOperation.GET_PUBLIC_KEY})


def pairs(context: Mapping[str, str] | None) -> Pairs:
    """Return an encryption context in the form in which constraints are compared: names in lower case."""
    return frozenset((name.lower(), value) for name, value in (context or {}).items())


@lru_cache(maxsize=16)
def _repeated_names(have: Pairs) -> Mapping[str, int]:
    """Return how often a context has each name that it has more than once.

    It is the same for all grants that a call is compared with, of which there can be thousands.
    """
    counted = Counter(name for name, _ in have)
    return {name: count for name, count in counted.items() if count > 1}


def labels_wanted(operation: GrantOperation, have: Pairs) -> Sequence[Label]:
    """Return the labels of all grants that could permit an operation with this encryption context."""
    if operation in _WITHOUT_CONTEXT:
        return (ANY_CONTEXT,)
    return (NO_CONTEXT, _label(have), *[_label(pair) for pair in have])


def possible_labels(grant: Grant) -> Sequence[Label]:
    """Return the labels of which a grant needs one; none if no context constrains any of its operations."""
    if _WITHOUT_CONTEXT.issuperset(grant.operations):
        return ()
    return [_label(context) for context in _contexts(grant.constraints)]


def has_unconstrained_operation(grant: Grant) -> bool:
    """Tell whether a grant permits an operation that no context constrains."""
    return not _WITHOUT_CONTEXT.isdisjoint(grant.operations)


@lru_cache(maxsize=_MAX_LABELS)
def _label(context: Context) -> Label:
    if context is None:
        return NO_CONTEXT
    fields = context if isinstance(context, tuple) else ("", *[field for pair in sorted(context) for field in pair])
    digest = blake2b("\0".join(fields).encode(), digest_size=_LABEL_LENGTH).digest()
    # 0 and 1 are the labels without a context.
    return int.from_bytes(digest) + 2


def _contexts(constraints: Constraints) -> Sequence[Context]:
    """Return the parts of a context, by one of which a grant is indexed: all of it, one of its pairs, or None."""
    if constraints.context_equals is not None:
        return (constraints.context,)
    return sorted(constraints.context) or (None,)
