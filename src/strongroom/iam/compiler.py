"""Policies, compiled: parsed once, then asked many times at a cost that does not grow with what does not apply.

For each action a policy is asked about, the statements that concern it are found once and remembered. Of those, only
what is left to check is checked: principal, resource, conditions, in this order; conditions read only what they need.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from types import MappingProxyType

import msgspec

from strongroom.iam.conditions import Holds, compile_condition
from strongroom.iam.document import (
    VARIABLES_VERSION,
    Effect,
    PatternElement,
    PolicyDocument,
    PolicyKind,
    PrincipalElement,
    PrincipalType,
    Statement,
)
from strongroom.iam.policy_variables import template
from strongroom.iam.principals import Principal, federated_name, service_name
from strongroom.iam.request import AuthorizationRequest
from strongroom.iam.wildcards import glob

_MAX_REMEMBERED = 512
_ANY = "*"


class Level(IntEnum):
    """How closely a statement's principal names the caller. An identity policy is the caller's own."""

    NONE = 0
    ACCOUNT = 1
    """Its account: the account's own policies have the last word."""
    INDIRECT = 2
    """The role or user it is a session of, or everyone: boundary and session policies have a say."""
    DIRECT = 3
    """The caller itself."""


class Match(msgspec.Struct, frozen=True):
    """A statement that applies to a request. ``policy`` is the name its policy was compiled under."""

    effect: Effect
    level: Level
    index: int
    sid: str | None
    policy: str = ""


Applies = Callable[[AuthorizationRequest], bool]
LevelOf = Callable[[Principal], Level]


class _CompiledStatement(msgspec.Struct, frozen=True):
    policy: str
    effect: Effect
    index: int
    sid: str | None
    action: Callable[[str], bool]
    level_of: LevelOf
    resource: Applies
    conditions: tuple[Holds, ...]
    varies: bool
    """Whether it depends on more than who asks for which action on which resource."""

    def match(self, request: AuthorizationRequest) -> Match | None:
        level = self.level_of(request.principal)
        if level is Level.NONE or not self.resource(request):
            return None
        for holds in self.conditions:
            if not holds(request):
                return None
        return Match(self.effect, level, self.index, self.sid, self.policy)


class CompiledPolicy:
    """A policy that can be asked. Immutable but for what it remembers; safe to use from several threads."""

    def __init__(self, document: PolicyDocument, options: "_Options") -> None:
        self._statements = tuple(
            compiled
            for index, statement in enumerate(document.statements)
            if (compiled := _compile_statement(statement, index, document, options)) is not None
        )
        self._of_action: dict[str, tuple[_CompiledStatement, ...]] = {}

    def denial(self, request: AuthorizationRequest) -> Match | None:
        """Return a statement that denies the request, None if there is none."""
        return self._first(request, Effect.DENY)

    def allowance(self, request: AuthorizationRequest) -> Match | None:
        """Return the statement that allows the request and names the caller most closely, None if there is none."""
        best: Match | None = None
        for statement in self._concerning(request.action):
            if statement.effect is Effect.ALLOW:
                match = statement.match(request)
                if match is not None and (best is None or match.level > best.level):
                    best = match
        return best

    def varies(self, action: str) -> bool:
        """Tell whether what this says of an action depends on more than the caller and the resource."""
        return any(statement.varies for statement in self._concerning(action))

    def _first(self, request: AuthorizationRequest, effect: Effect) -> Match | None:
        for statement in self._concerning(request.action):
            if statement.effect is effect:
                match = statement.match(request)
                if match is not None:
                    return match
        return None

    def _concerning(self, action: str) -> tuple[_CompiledStatement, ...]:
        found = self._of_action.get(action)
        if found is None:
            name = action.lower()
            found = tuple(statement for statement in self._statements if statement.action(name))
            if len(self._of_action) < _MAX_REMEMBERED:
                self._of_action[action] = found
        return found


class _Options(msgspec.Struct, frozen=True):
    name: str
    pinned: Mapping[str, str]
    withheld: tuple[str, ...]


def compile_policy(
    document: PolicyDocument,
    name: str = "",
    pinned: Mapping[str, str] = MappingProxyType({}),
    withheld: tuple[str, ...] = (),
) -> CompiledPolicy:
    """Return a document in the form that decisions use.

    ``name`` is what its matches are shown under. ``pinned`` maps ARNs to the unique ids of the users and roles they
    named when the document was written: another principal that later bears the same ARN is not meant. ``withheld`` are
    the beginnings, in lower case, of condition keys that this kind of policy cannot see.
    """
    return CompiledPolicy(document, _Options(name, pinned, withheld))


def _compile_statement(
    statement: Statement, index: int, document: PolicyDocument, options: _Options
) -> _CompiledStatement | None:
    """Return a statement compiled; None for one that can never apply, because it lacks actions or resources."""
    trust = document.kind is PolicyKind.TRUST
    if statement.action is None or (statement.resource is None and not trust):
        return None
    variables = document.version == VARIABLES_VERSION
    return _CompiledStatement(
        policy=options.name,
        effect=statement.effect,
        index=index,
        sid=statement.sid,
        action=_action(statement.action),
        level_of=_level_of(statement, options.pinned),
        resource=_everywhere
        if statement.resource is None
        else _resource(statement.resource, options.withheld, variables=variables),
        conditions=tuple(
            compile_condition(each, variables=variables, withheld=options.withheld) for each in statement.conditions
        ),
        varies=bool(statement.conditions) or _has_variables(statement.resource),
    )


# --- actions and resources


def _action(element: PatternElement) -> Callable[[str], bool]:
    patterns = [pattern.lower() for pattern in element.patterns]
    return lambda name: any(glob(pattern, name) for pattern in patterns) is not element.negated


def _everywhere(_request: AuthorizationRequest) -> bool:
    return True


def _resource(element: PatternElement, withheld: tuple[str, ...], *, variables: bool) -> Applies:
    if _ANY in element.patterns:
        return _nowhere if element.negated else _everywhere
    patterns = [template(pattern, withheld) if variables else pattern for pattern in element.patterns]
    negated = element.negated

    def applies(request: AuthorizationRequest) -> bool:
        filled = [pattern if isinstance(pattern, str) else pattern(request) for pattern in patterns]
        if None in filled:
            return not negated and _matches_any(filled, request.resource)
        return _matches_any(filled, request.resource) is not negated

    return applies


def _has_variables(element: PatternElement | None) -> bool:
    return element is not None and any("$" in pattern for pattern in element.patterns)


def _nowhere(_request: AuthorizationRequest) -> bool:
    return False


def _matches_any(patterns: Sequence[str | None], resource: str) -> bool:
    return any(pattern is not None and glob(pattern, resource) for pattern in patterns)


# --- principals


def _level_of(statement: Statement, pinned: Mapping[str, str]) -> LevelOf:
    element = statement.principal
    if element is None:
        return lambda _principal: Level.DIRECT
    names = _names(element, pinned)
    if element.negated:
        return _others_than(names, statement.effect)
    if any(principal.is_everyone for principal in element.principals):
        return _everyone(names)
    return lambda principal: _closest(principal, names)


def _names(element: PrincipalElement, pinned: Mapping[str, str]) -> frozenset[str]:
    """Return principals as ``Principal.own_names`` has them: accounts by their id, services and providers tagged."""
    forms = {PrincipalType.SERVICE: service_name, PrincipalType.FEDERATED: federated_name}
    return frozenset(
        principal.account or forms.get(principal.type, str)(pinned.get(principal.value, principal.value))
        for principal in element.principals
    )


def _closest(principal: Principal, names: frozenset[str]) -> Level:
    if not names.isdisjoint(principal.own_names):
        return Level.DIRECT
    if not names.isdisjoint(principal.issuer_names):
        return Level.INDIRECT
    return Level.ACCOUNT if principal.account in names else Level.NONE


def _everyone(names: frozenset[str]) -> LevelOf:
    return lambda principal: max(_closest(principal, names), Level.INDIRECT)


def _others_than(names: frozenset[str], effect: Effect) -> LevelOf:
    """Return the level of callers not listed.

    With Allow, being listed at any level excludes. With Deny, a caller is spared only if it is listed at every level:
    itself, its role, its account (IAM User Guide, "NotPrincipal with Deny").
    """

    def level_of(principal: Principal) -> Level:
        listed = [not names.isdisjoint(level) for level in principal.levels]
        spared = all(listed) if effect is Effect.DENY else any(listed)
        return Level.NONE if spared and listed else Level.INDIRECT

    return level_of
