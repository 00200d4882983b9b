"""Policy variables: ``${aws:username}``, ``${aws:PrincipalTag/team, 'none'}``, and the escapes ``${*} ${?} ${$}``.

Source: IAM User Guide, "IAM policy elements: Variables and tags". Only documents of version 2012-10-17 have them.
"""

import re
from collections.abc import Callable

from strongroom.iam.request import AuthorizationRequest, key_reader
from strongroom.iam.wildcards import literal

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_DEFAULTED = re.compile(r"\s*([^,\s]+)\s*,\s*'([^']*)'\s*")
_ESCAPES = frozenset("*?$")

Resolve = Callable[[AuthorizationRequest], str | None]
"""Returns the text for one request; None if a variable does not have exactly one value."""


def template(text: str, withheld: tuple[str, ...] = ()) -> str | Resolve:
    """Return text without variables, or a function that fills them in. For ``withheld`` see ``key_reader``."""
    pieces = _VARIABLE.split(text)
    if len(pieces) == 1:
        return text
    parts: list[str | Resolve] = [_variable(piece, withheld) if at % 2 else piece for at, piece in enumerate(pieces)]
    if all(isinstance(part, str) for part in parts):
        return "".join(str(part) for part in parts)

    def resolve(request: AuthorizationRequest) -> str | None:
        filled = [part if isinstance(part, str) else part(request) for part in parts]
        known = [part for part in filled if part is not None]
        return "".join(known) if len(known) == len(filled) else None

    return resolve


def _variable(name: str, withheld: tuple[str, ...]) -> str | Resolve:
    if name in _ESCAPES:
        return literal(name)
    defaulted = _DEFAULTED.fullmatch(name)
    key, default = defaulted.groups() if defaulted else (name.strip(), None)
    read = key_reader(key, withheld)

    def resolve(request: AuthorizationRequest) -> str | None:
        values = read(request)
        if not values:
            return None if default is None else literal(default)
        return literal(values[0]) if len(values) == 1 else None

    return resolve
