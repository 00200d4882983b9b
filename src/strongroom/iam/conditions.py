"""Compiles conditions: a function of a request tells whether one operator on one key holds.

Source: IAM User Guide, "Creating a condition with multiple keys or values" and "Single-valued vs. multivalued context
keys". A key that is missing fails a positive operator, satisfies a negated one and every ``…IfExists``, satisfies
``ForAllValues`` and fails ``ForAnyValue``.
"""

from collections.abc import Callable, Sequence

from strongroom.iam.condition_operators import NULL, Compile, Test, operator
from strongroom.iam.document import Condition, Effect, Qualifier
from strongroom.iam.policy_variables import Resolve, template
from strongroom.iam.request import AmbiguousConditionKey, AuthorizationRequest, KeyReader, key_reader
from strongroom.iam.wildcards import Pieces

Holds = Callable[[AuthorizationRequest], bool]

_STEPS_PER_VARIABLE = 16
"""What reading a value costs that is not known before the request: a network is the dearest."""


def compile_condition(
    condition: Condition, effect: Effect, *, variables: bool, withheld: tuple[str, ...] = ()
) -> Holds:
    """Return the function of one condition of a statement with the effect.

    ``variables`` tells whether the document's version has policy variables. For ``withheld`` see ``key_reader``. A
    condition that reads an ambiguous key holds in every Deny and in no Allow. The function raises TooMuchWork.
    """
    read = key_reader(condition.key, withheld)
    evaluate = _null(read, condition.values) if condition.operator.base == NULL else None
    return _guarded(evaluate or _comparison(condition, read, withheld, variables=variables), effect)


def _guarded(holds: Holds, effect: Effect) -> Holds:
    def guarded(request: AuthorizationRequest) -> bool:
        try:
            return holds(request)
        except AmbiguousConditionKey:
            return effect is Effect.DENY

    return guarded


def _comparison(condition: Condition, read: KeyReader, withheld: tuple[str, ...], *, variables: bool) -> Holds:
    compiled, negated = operator(condition.operator.base)
    when_missing = _when_missing(condition, negated=negated)
    qualifier = condition.operator.qualifier
    combine = any if qualifier is Qualifier.ANY or (qualifier is Qualifier.NONE and not negated) else all
    templates = [template(value, withheld) if variables else (value,) for value in condition.values]
    fixed = compiled([each for each in templates if not callable(each)])
    open_values = [each for each in templates if callable(each)]

    def holds(request: AuthorizationRequest) -> bool:
        request.work.spend(1)
        values = read(request)
        if not values:
            return when_missing
        request.work.spend(_steps(values))
        test = _filled(fixed, compiled, open_values, request) if open_values else fixed
        if test is None:
            return False
        work = request.work
        return combine(test(value, work) is not negated for value in values)

    return holds


def _steps(values: tuple[str, ...] | list[str]) -> int:
    return len(values) + (sum(map(len, values)) >> 7)


def _when_missing(condition: Condition, *, negated: bool) -> bool:
    if condition.operator.if_exists:
        return True
    match condition.operator.qualifier:
        case Qualifier.ALL:
            return True
        case Qualifier.ANY:
            return False
        case Qualifier.NONE:
            return negated


def _null(read: KeyReader, values: Sequence[str]) -> Holds:
    answers = {value.lower() == "true" for value in values}

    def holds(request: AuthorizationRequest) -> bool:
        request.work.spend(1)
        return (not read(request)) in answers

    return holds


def _filled(
    fixed: Test, compiled: Compile, open_values: Sequence[Resolve], request: AuthorizationRequest
) -> Test | None:
    """Return the test of all values of the policy for one request; None if a variable has no value."""
    resolved: list[Pieces] = []
    request.work.spend(len(open_values) * _STEPS_PER_VARIABLE)
    for resolve in open_values:
        pieces = resolve(request)
        if pieces is None:
            return None
        resolved.append(pieces)
    of_request = compiled(resolved)
    return lambda have, work: fixed(have, work) or of_request(have, work)
