"""Compiles conditions: a function of a request tells whether one operator on one key holds.

Source: IAM User Guide, "Creating a condition with multiple keys or values" and "Single-valued vs. multivalued context
keys"; "IAM policy elements: Variables and tags", "Policy variables with no value". A key that is missing fails a
positive operator, satisfies a negated one and every ``…IfExists``, satisfies ``ForAllValues`` and fails
``ForAnyValue``. A policy variable without a value equals nothing: the other values of the condition still count, and a
negated operator matches.
"""

from collections.abc import Callable, Sequence

from strongroom.iam.condition_operators import NULL, Test, operator
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

    ``variables`` tells whether the document's version has policy variables. For ``withheld`` see ``key_reader``. Two
    kinds of conditions hold in every Deny and in no Allow, because it is not certain what they mean: those that read an
    ambiguous key, and ``ForAnyValue:…IfExists`` where the key is missing. The function raises TooMuchWork.
    """
    read = key_reader(condition.key, withheld)
    if condition.operator.base == NULL:
        return _null(read, condition.values, effect)
    return _Comparison(condition, read, effect, withheld if variables else None)


class _Comparison:
    """A condition with an operator other than ``Null``.

    Its values are compiled when a request first has the key: most statements of a policy are never asked. Only that
    changes it. Safe to use from several threads.
    """

    def __init__(self, condition: Condition, read: KeyReader, effect: Effect, withheld: tuple[str, ...] | None) -> None:
        """Take a condition; ``withheld`` is None where the document has no policy variables."""
        self._condition = condition
        self._read = read
        self._holds_if_unclear = effect is Effect.DENY
        self._withheld = withheld
        self._compile, self._negated = operator(condition.operator.base)
        self._test: Test | None = None
        self._open_values: list[Resolve] = []

    def __call__(self, request: AuthorizationRequest) -> bool:
        """Tell whether the condition holds."""
        work = request.work
        work.spend(1)
        try:
            values = self._read(request)
            if not values:
                return self._holds_when_missing()
            work.spend(len(values) + (sum(map(len, values)) >> 6))
            test = self._test_for(request)
        except AmbiguousConditionKey:
            return self._holds_if_unclear
        negated, qualifier = self._negated, self._condition.operator.qualifier
        results = (test(value, work) is not negated for value in values)
        return (
            any(results)
            if qualifier is Qualifier.ANY or (qualifier is Qualifier.NONE and not negated)
            else all(results)
        )

    def _holds_when_missing(self) -> bool:
        match self._condition.operator.qualifier:
            case Qualifier.ALL:
                return True
            case Qualifier.ANY:
                # AWS does not document what ForAnyValue and IfExists mean together.
                return self._condition.operator.if_exists and self._holds_if_unclear
            case Qualifier.NONE:
                return self._condition.operator.if_exists or self._negated

    def _test_for(self, request: AuthorizationRequest) -> Test:
        """Return the test of the policy's values for one request: of those whose variables have a value."""
        fixed = self._test or self._compiled()
        if not self._open_values:
            return fixed
        request.work.spend(len(self._open_values) * _STEPS_PER_VARIABLE)
        resolved = (resolve(request) for resolve in self._open_values)
        of_request = self._compile([pieces for pieces in resolved if pieces is not None])
        return lambda have, work: fixed(have, work) or of_request(have, work)

    def _compiled(self) -> Test:
        fixed: list[Pieces] = []
        open_values: list[Resolve] = []
        for value in self._condition.values:
            written = (value,) if self._withheld is None else template(value, self._withheld)
            if callable(written):
                open_values.append(written)
            else:
                fixed.append(written)
        # In this order: another thread that sees the test must see the open values too.
        self._open_values = open_values
        self._test = self._compile(fixed)
        return self._test


def _null(read: KeyReader, values: Sequence[str], effect: Effect) -> Holds:
    answers = {value.lower() == "true" for value in values}

    def holds(request: AuthorizationRequest) -> bool:
        request.work.spend(1)
        try:
            return (not read(request)) in answers
        except AmbiguousConditionKey:
            return effect is Effect.DENY

    return holds
