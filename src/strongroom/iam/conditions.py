"""Compiles conditions: a function of a request tells whether one operator on one key holds.

Source: IAM User Guide, "Creating a condition with multiple keys or values" and "Single-valued vs. multivalued context
keys". A key that is missing fails a positive operator, satisfies a negated one and every ``…IfExists``, satisfies
``ForAllValues`` and fails ``ForAnyValue``.
"""

from collections.abc import Callable, Sequence

from strongroom.iam.condition_operators import NULL, Compare, comparison
from strongroom.iam.document import Condition, Qualifier
from strongroom.iam.policy_variables import Resolve, template
from strongroom.iam.request import AuthorizationRequest, KeyReader, key_reader

Holds = Callable[[AuthorizationRequest], bool]


def compile_condition(condition: Condition, *, variables: bool, withheld: tuple[str, ...] = ()) -> Holds:
    """Return the function of one condition.

    ``variables`` tells whether the document's version has policy variables. For ``withheld`` see ``key_reader``.
    """
    read = key_reader(condition.key, withheld)
    if condition.operator.base == NULL:
        return _null(read, condition.values)
    compare, negated = comparison(condition.operator.base)
    when_missing = _when_missing(condition, negated=negated)
    qualifier = condition.operator.qualifier
    wanted = [template(value, withheld) if variables else value for value in condition.values]

    def holds(request: AuthorizationRequest) -> bool:
        values = read(request)
        if not values:
            return when_missing
        filled = _fill(wanted, request)
        if filled is None:
            return False
        results = [_matches(compare, value, filled) is not negated for value in values]
        if qualifier is Qualifier.ANY or (qualifier is Qualifier.NONE and not negated):
            return any(results)
        return all(results)

    return holds


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
    return lambda request: (not read(request)) in answers


def _fill(wanted: Sequence[str | Resolve], request: AuthorizationRequest) -> list[str] | None:
    """Return the policy's values with their variables replaced; None if a variable has no value."""
    filled: list[str] = []
    for want in wanted:
        text = want if isinstance(want, str) else want(request)
        if text is None:
            return None
        filled.append(text)
    return filled


def _matches(compare: Compare, value: str, wanted: Sequence[str]) -> bool:
    return any(compare(value, want) for want in wanted)
