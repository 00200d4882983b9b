"""Policy documents in frozen types, as the parser has checked them.

Source: IAM User Guide, "Grammar of the IAM JSON policy language".
"""

from enum import Enum, StrEnum

import msgspec

from strongroom.arns import parse_arn

VARIABLES_VERSION = "2012-10-17"
"""The version of the policy language with policy variables."""

DEFAULT_VERSION = "2008-10-17"
"""The version of a document that does not state one."""


class MalformedPolicy(ValueError):
    """A policy document is not valid. The message is AWS's wording."""


class PolicyKind(Enum):
    """The kind of a policy. It determines which elements the document can and must have."""

    RESOURCE = "resource-based"
    IDENTITY = "identity-based (also permissions boundaries and session policies)"
    TRUST = "role trust"


class Effect(StrEnum):
    """The effect of a matching statement."""

    ALLOW = "Allow"
    DENY = "Deny"


class PrincipalType(StrEnum):
    """The types of principals: the keys of a Principal element."""

    AWS = "AWS"
    SERVICE = "Service"
    FEDERATED = "Federated"


class NamedPrincipal(msgspec.Struct, frozen=True):
    """One principal as written: of type ``AWS`` ``*``, an account id, ARN or unique id; else a service or provider."""

    type: PrincipalType
    value: str

    @property
    def is_everyone(self) -> bool:
        """Whether this is the wildcard."""
        return self.value == "*"

    @property
    def account(self) -> str | None:
        """The account id, when a whole account is named by its id or by its root's ARN."""
        if self.type is not PrincipalType.AWS:
            return None
        arn = parse_arn(self.value)
        if arn is not None and arn.resource == "root":
            return arn.account
        return self.value if self.value.isdecimal() else None


class PrincipalElement(msgspec.Struct, frozen=True):
    """``Principal``, or ``NotPrincipal`` when ``negated``."""

    principals: tuple[NamedPrincipal, ...]
    negated: bool = False


class PatternElement(msgspec.Struct, frozen=True):
    """``Action`` or ``Resource``, or their ``Not…`` form when ``negated``."""

    patterns: tuple[str, ...]
    negated: bool = False


class Qualifier(StrEnum):
    """How the values of a multivalued key are combined."""

    NONE = ""
    ALL = "ForAllValues:"
    ANY = "ForAnyValue:"


class Operator(msgspec.Struct, frozen=True):
    """A condition operator in its parts: ``ForAnyValue:StringLikeIfExists`` is ANY, ``StringLike`` and True."""

    base: str
    qualifier: Qualifier = Qualifier.NONE
    if_exists: bool = False


class Condition(msgspec.Struct, frozen=True):
    """One operator applied to one key. Numbers and booleans are kept as text."""

    operator: Operator
    key: str
    values: tuple[str, ...]


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """One statement. An element that was not written is None."""

    effect: Effect
    sid: str | None = None
    principal: PrincipalElement | None = None
    action: PatternElement | None = None
    resource: PatternElement | None = None
    conditions: tuple[Condition, ...] = ()


class PolicyDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A valid policy document."""

    kind: PolicyKind
    version: str = DEFAULT_VERSION
    id: str | None = None
    statements: tuple[Statement, ...]

    @property
    def principals(self) -> tuple[NamedPrincipal, ...]:
        """All principals that statements name, each once, in the order written, without the wildcard.

        They need not exist.
        """
        elements = (statement.principal for statement in self.statements)
        named = (principal for element in elements if element for principal in element.principals)
        return tuple(dict.fromkeys(principal for principal in named if not principal.is_everyone))
