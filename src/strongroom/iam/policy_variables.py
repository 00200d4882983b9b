"""Policy variables: ``${aws:username}``, ``${aws:PrincipalTag/team, 'none'}``, and the escapes ``${*} ${?} ${$}``.

Source: IAM User Guide, "IAM policy elements: Variables and tags". Only documents of version 2012-10-17 have them.
"""

import re
from collections.abc import Callable

from strongroom.iam.request import AuthorizationRequest, key_reader
from strongroom.iam.wildcards import Literal, Pieces

_OPEN, _CLOSE = "${", "}"
_DEFAULTED = re.compile(r"\s*([^,\s]+)\s*,\s*'([^']*)'\s*")
_ESCAPES = frozenset("*?$")

Resolve = Callable[[AuthorizationRequest], Pieces | None]
"""Returns the text for one request; None if a variable does not have exactly one value."""

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
    defaulted = _DEFAULTED.fullmatch(name)
    key, default = defaulted.groups() if defaulted else (name.strip(), None)
    read = key_reader(key, withheld)

    def resolve(request: AuthorizationRequest) -> str | None:
        values = read(request)
        if not values:
            return default
        return values[0] if len(values) == 1 else None

    return resolve
