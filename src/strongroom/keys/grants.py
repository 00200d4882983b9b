"""Grants: delegated permission to use one key, for some operations, under constraints.

Source: KMS Developer Guide, "Grants in AWS KMS" and "Grant constraints"; KMS API Reference, CreateGrant. A grant only
ever allows. An encryption context constraint matches the names of pairs whatever their case and the values exactly; it
does not apply to DescribeKey and RetireGrant. A source ARN applies to everything but RetireGrant.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum

import msgspec

from strongroom.keys.arns import KeyLocator

MAX_GRANTS = 50_000
"""Resource quota: grants on one key (KMS Developer Guide, "Quotas")."""

Pairs = frozenset[tuple[str, str]]
"""An encryption context with its names in lower case."""


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


class GrantIndex:
    """The grants of one grantee on one key, found in constant time however many there are.

    A grant is filed, for each of its operations, under what a request must have to use it: its source ARN, and its
    whole context (equals) or one pair of it (subset). A request looks under each of its own pairs.
    """

    def __init__(self, grants: Iterator[Grant]) -> None:
        self._files: dict[object, dict[str, Grant]] = {}
        self._grants: dict[str, Grant] = {}
        for grant in grants:
            self.add(grant)

    def __len__(self) -> int:
        return len(self._grants)

    def add(self, grant: Grant) -> None:
        """File a grant."""
        self._grants[grant.grant_id] = grant
        for operation in grant.operations:
            self._files.setdefault(_heading(operation, grant.constraints), {})[grant.grant_id] = grant

    def remove(self, grant_id: str) -> None:
        """Take a grant out, if it is here."""
        grant = self._grants.pop(grant_id, None)
        if grant is not None:
            for operation in grant.operations:
                heading = _heading(operation, grant.constraints)
                file = self._files[heading]
                del file[grant_id]
                if not file:
                    del self._files[heading]

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
        contexts: tuple[object, ...] = (None,) if operation in _WITHOUT_CONTEXT else (None, have, *have)
        for source in {None, None if operation is GrantOperation.RETIRE_GRANT else source_arn}:
            for context in contexts:
                yield from self._files.get((operation, source, context), {}).values()


def pairs(context: Mapping[str, str] | None) -> Pairs:
    """Return an encryption context as constraints compare it."""
    return frozenset((name.lower(), value) for name, value in (context or {}).items())


def _heading(operation: GrantOperation, constraints: Constraints) -> object:
    source = None if operation is GrantOperation.RETIRE_GRANT else constraints.source_arn
    if operation in _WITHOUT_CONTEXT:
        return operation, source, None
    if constraints.context_equals is not None:
        return operation, source, pairs(constraints.context_equals)
    return operation, source, min(pairs(constraints.context_subset), default=None)
