"""Compiles policy documents into the form in which decisions evaluate them.

A policy is compiled once and evaluated many times. The statements that apply to an action are found on the first
request for that action and cached. For each of them, a request checks the principal, the resource and the conditions,
in this order, and stops at the first that does not match. Conditions read only the keys they name. Every evaluation
counts its steps, and raises TooMuchWork when the request's budget is spent.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from functools import cached_property, partial
from types import MappingProxyType

import msgspec

from strongroom.iam.conditions import Holds, compile_condition
from strongroom.iam.document import (
    VARIABLES_VERSION,
    Condition,
    Effect,
    PatternElement,
    PolicyDocument,
    PolicyKind,
    PrincipalElement,
    PrincipalType,
    Statement,
)
from strongroom.iam.policy_variables import Resolve, has_variables, template
from strongroom.iam.principals import Principal, federated_name, service_name
from strongroom.iam.request import AmbiguousConditionKey, AuthorizationRequest
from strongroom.iam.wildcards import PatternSet, matches, pattern
from strongroom.iam.work import Work

_MAX_REMEMBERED = 512
_ANY = "*"


class Level(IntEnum):
    """How specifically a statement's principal names the caller. For identity policies it is always DIRECT."""

    NONE = 0
    ACCOUNT = 1
    """It names the caller's account. An identity policy of the account must allow too."""
    INDIRECT = 2
    """It names everyone, or the role or user of the caller's session. Boundary and session policies limit it."""
    DIRECT = 3
    """It names the caller itself."""


class Match(msgspec.Struct, frozen=True):
    """A statement that applies to a request. ``policy`` is the name that its policy was compiled with."""

    effect: Effect
    level: Level
    index: int
    sid: str | None
    policy: str = ""


Applies = Callable[[AuthorizationRequest], bool]
LevelOf = Callable[[Principal], Level]


class _CompiledStatement(msgspec.Struct, frozen=True, dict=True):
    policy: str
    effect: Effect
    index: int
    sid: str | None
    action: Callable[[str, Work], bool]
    level_of: LevelOf
    resource: Applies
    varies: bool
    """Whether it depends on more than the principal, the action and the resource."""
    compile_condition: Callable[[Condition], Holds]
    written: tuple[Condition, ...]

    @cached_property
    def conditions(self) -> tuple[Holds, ...]:
        """The conditions, compiled when a request first gets as far."""
        return tuple(map(self.compile_condition, self.written))

    def match(self, request: AuthorizationRequest) -> Match | None:
        request.work.spend(1)
        level = self.level_of(request.principal)
        if level is Level.NONE or not self.resource(request):
            return None
        for holds in self.conditions:
            if not holds(request):
                return None
        return Match(self.effect, level, self.index, self.sid, self.policy)


class CompiledPolicy:
    """A policy that requests can be evaluated against. Only its cache changes. Safe to use from several threads."""

    def __init__(self, document: PolicyDocument, options: "_Options") -> None:
        self._statements = tuple(
            compiled
            for index, statement in enumerate(document.statements)
            if (compiled := _compile_statement(statement, index, document, options)) is not None
        )
        self._of_action: dict[str, tuple[tuple[_CompiledStatement, ...], int]] = {}
        """The statements that apply to an action, and the steps that it took to find them."""

    def denial(self, request: AuthorizationRequest) -> Match | None:
        """Return a statement that denies the request, None if there is none."""
        return self._first_match(request, Effect.DENY)

    def allowance(self, request: AuthorizationRequest) -> Match | None:
        """Return the allowing statement that names the caller most specifically, None if there is none."""
        best: Match | None = None
        for statement in self._statements_for(request.action, request.work):
            if statement.effect is Effect.ALLOW:
                match = statement.match(request)
                if match is not None and (best is None or match.level > best.level):
                    best = match
        return best

    def varies(self, action: str) -> bool:
        """Tell whether the result for an action can depend on more than the caller and the resource."""
        return any(statement.varies for statement in self._statements_for(action, Work()))

    def _first_match(self, request: AuthorizationRequest, effect: Effect) -> Match | None:
        for statement in self._statements_for(request.action, request.work):
            if statement.effect is effect:
                match = statement.match(request)
                if match is not None:
                    return match
        return None

    def _statements_for(self, action: str, work: Work) -> tuple[_CompiledStatement, ...]:
        known = self._of_action.get(action)
        if known is not None:
            found, steps = known
            # Counted as if they had to be found: or a decision could depend on those before it.
            work.spend(steps)
            return found
        name, left = action.lower(), work.left
        found = tuple(statement for statement in self._statements if statement.action(name, work))
        if len(self._of_action) < _MAX_REMEMBERED:
            self._of_action[action] = found, left - work.left
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

    ``name`` identifies the policy in its matches. ``pinned`` maps ARNs to the unique ids of the users and roles that
    they named when the document was written. A principal that gets the same ARN later does not match. ``withheld`` are
    prefixes, in lower case, of condition keys that this kind of policy cannot read.
    """
    return CompiledPolicy(document, _Options(name, pinned, withheld))


def _compile_statement(
    statement: Statement, index: int, document: PolicyDocument, options: _Options
) -> _CompiledStatement | None:
    """Return a compiled statement; None for one without actions or resources, which can never apply."""
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
        resource=_any_resource
        if statement.resource is None
        else _resource(statement.resource, statement.effect, options.withheld, variables=variables),
        varies=bool(statement.conditions) or _has_variables(statement.resource),
        compile_condition=partial(
            compile_condition, effect=statement.effect, variables=variables, withheld=options.withheld
        ),
        written=statement.conditions,
    )


# --- actions and resources


def _action(element: PatternElement) -> Callable[[str, Work], bool]:
    wanted, negated = PatternSet((name.lower(),) for name in element.patterns), element.negated
    return lambda name, work: wanted.match(name, work) is not negated


def _any_resource(_request: AuthorizationRequest) -> bool:
    return True


def _resource(element: PatternElement, effect: Effect, withheld: tuple[str, ...], *, variables: bool) -> Applies:
    if _ANY in element.patterns:
        return _no_resource if element.negated else _any_resource
    templates = [template(each, withheld) if variables else (each,) for each in element.patterns]
    fixed = PatternSet(each for each in templates if not callable(each))
    open_patterns = [each for each in templates if callable(each)]
    negated = element.negated
    if open_patterns:
        return _open_resource(fixed, open_patterns, effect, negated=negated)
    return lambda request: fixed.match(request.resource, request.work) is not negated


def _open_resource(fixed: PatternSet, open_patterns: Sequence[Resolve], effect: Effect, *, negated: bool) -> Applies:
    """Return the test of a resource element with policy variables.

    A pattern whose variable has no value matches no resource (IAM User Guide, "Policy variables with no value"). So the
    ``NotResource`` of a Deny does not spare anything by it. The ``NotResource`` of an Allow excludes everything by it:
    what the variable was to protect is not known.
    """
    excludes_all_if_unset = negated and effect is Effect.ALLOW

    def found(request: AuthorizationRequest) -> bool:
        if fixed.match(request.resource, request.work):
            return True
        for resolve in open_patterns:
            pieces = resolve(request)
            if excludes_all_if_unset and pieces is None:
                return True
            if pieces is not None and matches(pattern(pieces), request.resource, request.work):
                return True
        return False

    def applies(request: AuthorizationRequest) -> bool:
        try:
            return found(request) is not negated
        except AmbiguousConditionKey:
            return effect is Effect.DENY

    return applies


def _has_variables(element: PatternElement | None) -> bool:
    return element is not None and any(map(has_variables, element.patterns))


def _no_resource(_request: AuthorizationRequest) -> bool:
    return False


# --- principals


def _level_of(statement: Statement, pinned: Mapping[str, str]) -> LevelOf:
    element = statement.principal
    if element is None:
        return lambda _principal: Level.DIRECT
    names = _names(element, pinned)
    everyone = any(principal.is_everyone for principal in element.principals)
    if element.negated:
        return _no_level if everyone else _not_principal(names, statement.effect)
    if everyone:
        return _everyone(names)
    return lambda principal: _most_specific_level(principal, names)


def _names(element: PrincipalElement, pinned: Mapping[str, str]) -> frozenset[str]:
    """Return principals in the form of ``Principal.own_names``: accounts by id, services and providers prefixed."""
    forms = {PrincipalType.SERVICE: service_name, PrincipalType.FEDERATED: federated_name}
    return frozenset(
        principal.account or forms.get(principal.type, str)(pinned.get(principal.value, principal.value))
        for principal in element.principals
    )


def _most_specific_level(principal: Principal, names: frozenset[str]) -> Level:
    if not names.isdisjoint(principal.own_names):
        return Level.DIRECT
    if not names.isdisjoint(principal.issuer_names):
        return Level.INDIRECT
    return Level.ACCOUNT if principal.account in names else Level.NONE


def _everyone(names: frozenset[str]) -> LevelOf:
    return lambda principal: max(_most_specific_level(principal, names), Level.INDIRECT)


def _no_level(_principal: Principal) -> Level:
    """Return the level of callers that ``NotPrincipal`` lists together with everyone else."""
    return Level.NONE


def _not_principal(names: frozenset[str], effect: Effect) -> LevelOf:
    """Return what gives the level of callers that ``NotPrincipal`` does not list.

    An Allow does not apply to a caller that is listed at any level. A Deny does not apply to a caller that is listed at
    every level: itself, its role, its account (IAM User Guide, "NotPrincipal with Deny").
    """

    def level_of(principal: Principal) -> Level:
        listed = [not names.isdisjoint(level) for level in principal.levels]
        spared = all(listed) if effect is Effect.DENY else any(listed)
        return Level.NONE if spared and listed else Level.INDIRECT

    return level_of
