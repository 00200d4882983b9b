"""Grants: delegated permission to use one key, for some operations, under constraints.

Source: KMS Developer Guide, "Grants in AWS KMS" and "Grant constraints"; KMS API Reference, CreateGrant. A grant only
ever allows. An encryption context constraint matches the names of pairs whatever their case and the values exactly; it
does not apply to DescribeKey and RetireGrant. A source ARN applies to everything but RetireGrant.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b, sha256

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
"""What of an encryption context a grant is stored under, as a number of 48 bits: all of it, one pair, or nothing.

Two contexts can have the same one. It only tells which grants are worth a look.
"""

_LABEL_LENGTH = 6
_MAX_LABELS = 16_384
NO_CONTEXT: Label = 0
WHATEVER_CONTEXT: Label = 1
"""Of grants for operations that no context constrains; a grant may be stored under this one and another."""


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
        """The pairs of whichever context constraint there is."""
        return pairs(self.context_equals or self.context_subset)

    def admit(self, have: Pairs) -> bool:
        """Tell whether a request's encryption context satisfies the constraint."""
        if self.context_equals is not None:
            return have == pairs(self.context_equals)
        return pairs(self.context_subset) <= have

    def at_least_as_strict_as(self, other: "Constraints") -> bool:
        """Tell whether whatever these constraints admit, the other ones admit too."""
        if other.source_arn is not None and self.source_arn != other.source_arn:
            return False
        if other.context_equals is not None:
            return self.context_equals is not None and pairs(self.context_equals) == pairs(other.context_equals)
        return pairs(other.context_subset) <= self.context


class Party(msgspec.Struct, frozen=True):
    """A grantee or retiring principal: as it was named, and the name policies know it by.

    ``name`` is a user's or role's unique id, an account id, ``Service:…``, or the ARN of a session; see
    ``iam.Principal.own_names``.
    """

    shown: str
    name: str
    service: bool = False


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """A grant on one key. ``created_at`` in epoch seconds; ``issuing_account`` is the account that created it."""

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
        """Where the key lives."""
        return KeyLocator(self.account, self.region, self.key_id)

    def same_terms(self, other: "Grant") -> bool:
        """Tell whether two grants were made by the same request."""
        same = msgspec.structs.replace(
            self, grant_id=other.grant_id, created_at=other.created_at, operations=other.operations
        )
        return same == other and set(self.operations) == set(other.operations)


def terms_digest(grant: Grant) -> str:
    """Return a digest (SHA-256, hex) that is equal for grants with the same terms; see ``Grant.same_terms``."""
    terms = msgspec.structs.replace(grant, grant_id="", created_at=0.0, operations=tuple(sorted({*grant.operations})))
    return sha256(msgspec.json.encode(terms, order="sorted")).hexdigest()


Context = Pairs | Pair | None
"""What of an encryption context a grant is filed under: all of it, one pair, or nothing."""

Heading = tuple[GrantOperation, str | None, Context]
"""What a grant is filed under: an operation, a source ARN, and of the encryption context."""


class GrantIndex:
    """The grants of one grantee on one key, found in constant time however many there are.

    A grant is filed, for each of its operations, under what a request must have to use it: its source ARN, and its
    whole context (equals) or one pair of it (subset). A request looks under each of its own pairs. Which pair is free
    to choose; the one that fewest grants are under so far tells grants apart best: a tenant's id, not the ``app`` that
    all of them share.
    """

    def __init__(self, grants: Iterator[Grant]) -> None:
        self._files: dict[Heading, dict[str, Grant]] = {}
        self._headings: dict[str, list[Heading]] = {}
        for grant in grants:
            self.add(grant)

    def __len__(self) -> int:
        return len(self._headings)

    def add(self, grant: Grant) -> None:
        """File a grant, once however often it is added."""
        self.remove(grant.grant_id)
        contexts, source = _contexts(grant.constraints), grant.constraints.source_arn
        headings = [self._heading(operation, source, contexts) for operation in grant.operations]
        for heading in headings:
            self._files.setdefault(heading, {})[grant.grant_id] = grant
        self._headings[grant.grant_id] = headings

    def remove(self, grant_id: str) -> bool:
        """Take a grant out; false if it is not here."""
        headings = self._headings.pop(grant_id, ())
        for heading in headings:
            file = self._files[heading]
            del file[grant_id]
            if not file:
                del self._files[heading]
        return bool(headings)

    def find(self, operation: GrantOperation, have: Pairs, source_arn: str | None) -> Grant | None:
        """Return a grant that permits an operation with this encryption context and source; None if there is none."""
        for grant in self.candidates(operation, have, source_arn):
            if operation in _WITHOUT_CONTEXT or grant.constraints.admit(have):
                return grant
        return None

    def candidates(self, operation: GrantOperation, have: Pairs, source_arn: str | None) -> Iterator[Grant]:
        """Yield the grants that could apply."""
        if not self._files:
            return
        contexts: tuple[Context, ...] = (None,) if operation in _WITHOUT_CONTEXT else (None, have, *have)
        for source in {None, None if operation is GrantOperation.RETIRE_GRANT else source_arn}:
            for context in contexts:
                yield from self._files.get((operation, source, context), {}).values()

    def _heading(self, operation: GrantOperation, source: str | None, contexts: Sequence[Context]) -> Heading:
        """Return the heading with fewest grants of those that every request a grant admits looks under."""
        if operation is GrantOperation.RETIRE_GRANT:
            source = None
        if operation in _WITHOUT_CONTEXT:
            contexts = (None,)
        headings = ((operation, source, context) for context in contexts)
        return min(headings, key=lambda heading: len(self._files.get(heading, ())))


def operations_of(key: KmsKey) -> frozenset[GrantOperation]:
    """Return the operations a grant on a key can permit (KMS Developer Guide, "Grant operations")."""
    fit = _BY_USAGE[key.usage] | _BY_ALL
    return fit | _BY_SYMMETRIC if key.spec is KeySpec.SYMMETRIC_DEFAULT else fit | _asymmetric(key)


def _asymmetric(key: KmsKey) -> frozenset[GrantOperation]:
    hmac = key.usage is KeyUsage.GENERATE_VERIFY_MAC
    return frozenset() if hmac else frozenset({GrantOperation.GET_PUBLIC_KEY})


def pairs(context: Mapping[str, str] | None) -> Pairs:
    """Return an encryption context as constraints compare it."""
    return frozenset((name.lower(), value) for name, value in (context or {}).items())


def labels_wanted(operation: GrantOperation, have: Pairs) -> Sequence[Label]:
    """Return the labels of all grants that could permit an operation with this encryption context."""
    if operation in _WITHOUT_CONTEXT:
        return (WHATEVER_CONTEXT,)
    return (NO_CONTEXT, _label(have), *[_label(pair) for pair in have])


def possible_labels(grant: Grant) -> Sequence[Label]:
    """Return the labels that a grant may be stored under, any one of these, if a context can matter to it."""
    if _WITHOUT_CONTEXT.issuperset(grant.operations):
        return ()
    return [_label(context) for context in _contexts(grant.constraints)]


def is_wanted_whatever_context(grant: Grant) -> bool:
    """Tell whether a grant permits an operation that no context constrains."""
    return not _WITHOUT_CONTEXT.isdisjoint(grant.operations)


@lru_cache(maxsize=_MAX_LABELS)
def _label(context: Context) -> Label:
    if context is None:
        return NO_CONTEXT
    fields = context if isinstance(context, tuple) else ("", *[field for pair in sorted(context) for field in pair])
    digest = blake2b("\0".join(fields).encode(), digest_size=_LABEL_LENGTH).digest()
    # None of the two above.
    return int.from_bytes(digest) + 2


def _contexts(constraints: Constraints) -> Sequence[Context]:
    """Return what a grant may be filed under, any one of these: the whole context, one of its pairs, or none."""
    if constraints.context_equals is not None:
        return (constraints.context,)
    return sorted(constraints.context) or (None,)
