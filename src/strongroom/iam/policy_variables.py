"""Policy variables: ``${aws:username}``, ``${aws:PrincipalTag/team, 'none'}``, and the escapes ``${*} ${?} ${$}``.

Source: IAM User Guide, "IAM policy elements: Variables and tags". Only documents of version 2012-10-17 have them.
"""

import re
from collections.abc import Callable

from strongroom.iam.request import AmbiguousConditionKey, AuthorizationRequest, key_reader
from strongroom.iam.wildcards import Literal, Pieces

_OPEN, _CLOSE = "${", "}"
_DEFAULT = re.compile(r"\s*'([^']*)'\s*")
_ESCAPES = frozenset("*?$")

Resolve = Callable[[AuthorizationRequest], Pieces | None]
"""Returns the text for one request; None if a variable has no value.

Raises AmbiguousConditionKey for a variable with several values: AWS lets only single-valued keys be variables, and who
sends a second value must not choose what a policy compares with.
"""

_ReadVariable = Callable[[AuthorizationRequest], str | None]


def template(text: str, withheld: tuple[str, ...] = ()) -> Pieces | Resolve:
    """Return text without variables, or a function that fills them in. For ``withheld`` see ``key_reader``.

    The time is proportional to the length of the text. A ``${`` that is not closed is text.
    """
    if _OPEN not in text:
        return (text,)
    parts: list[str | Literal | _ReadVariable] = []
    position = 0
    while (start := text.find(_OPEN, position)) >= 0 and (end := text.find(_CLOSE, start)) >= 0:
        parts += (text[position:start], _variable(text[start + len(_OPEN) : end], withheld))
        position = end + len(_CLOSE)
    parts.append(text[position:])
    pieces = tuple(part for part in parts if isinstance(part, str | Literal))
    return pieces if len(pieces) == len(parts) else _resolver(parts)


def has_variables(text: str) -> bool:
    """Tell whether text contains variables, so that what it stands for depends on the request."""
    return _OPEN in text and callable(template(text))


def _resolver(parts: list[str | Literal | _ReadVariable]) -> Resolve:
    # What is returned is compiled for each request, in about a step for each wildcard.
    wildcards = sum(part.count("*") + part.count("?") for part in parts if isinstance(part, str))

    def resolve(request: AuthorizationRequest) -> Pieces | None:
        request.work.spend(wildcards)
        filled: list[str | Literal] = []
        for part in parts:
            if not callable(part):
                filled.append(part)
                continue
            value = part(request)
            if value is None:
                return None
            # A value can be much longer than the name of its variable: it is counted before it is copied.
            request.work.spend(1 + (len(value) >> 6))
            filled.append(Literal(value))
        return tuple(filled)

    return resolve


def _variable(name: str, withheld: tuple[str, ...]) -> Literal | _ReadVariable:
    if name in _ESCAPES:
        return Literal(name)
    key, default = _key_and_default(name)
    read = key_reader(key, withheld)

    def resolve(request: AuthorizationRequest) -> str | None:
        values = read(request)
        if not values:
            return default
        if len(values) > 1:
            raise AmbiguousConditionKey(key)
        return values[0]

    return resolve


def _key_and_default(name: str) -> tuple[str, str | None]:
    """Return the condition key of a variable and the text that stands for it where it has no value."""
    # The key of a tag can have spaces, but no comma.
    key, _, rest = name.partition(",")
    default = _DEFAULT.fullmatch(rest)
    return (name.strip(), None) if default is None else (key.strip(), default[1])
