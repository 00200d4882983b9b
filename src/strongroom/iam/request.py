"""The authorization request: one caller, one action, one resource, and condition keys computed on demand."""

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from strongroom.iam.principals import Principal, is_principal_key
from strongroom.iam.work import Work

ConditionValues: TypeAlias = tuple[str, ...] | list[str] | None
"""The values of one condition key.

None and empty both mean that the request does not have the key. It is never a bare string, which would be a sequence of
one-letter values.
"""

ConditionContext: TypeAlias = Callable[[str], ConditionValues]
"""Looks up a condition key by its lower-cased name, such as ``aws:sourceip``."""

KeyReader: TypeAlias = "Callable[[AuthorizationRequest], ConditionValues]"
"""Reads one condition key of a request."""


class AmbiguousConditionKey(Exception):
    """The condition key does not have one value, although it must.

    Two names that differ only by case stand for it, or a policy variable reads a key with several values.
    """


def empty_context(_key: str) -> ConditionValues:
    """Return None: the context without any condition key."""
    return None


class AuthorizationRequest(msgspec.Struct, frozen=True):
    """A request to be authorized by policies.

    ``action``: ``service:Action``, compared without regard to case. ``resource``: an ARN, or ``*`` for actions without
    a resource. ``context`` returns the values of condition keys, except those that describe the principal
    (``aws:Principal…``, ``aws:userid``, ``aws:username``): these always come from ``principal``. It raises
    AmbiguousConditionKey for a key of which the request has two. ``work`` is what the decision may still do.
    """

    principal: Principal
    action: str
    resource: str
    context: ConditionContext = empty_context
    work: Work = msgspec.field(default_factory=Work)


def key_reader(key: str, withheld: tuple[str, ...] = ()) -> KeyReader:
    """Return the function that reads the condition key ``key`` (any case) from a request.

    Keys that start with one of ``withheld`` (lower case) never have a value.
    """
    name, folded = key.lower(), key.casefold()
    if name.startswith(withheld):
        return _absent

    def of_principal(request: AuthorizationRequest) -> ConditionValues:
        if folded in request.principal.ambiguous_keys:
            raise AmbiguousConditionKey(name)
        return request.principal.condition_keys.get(folded)

    def of_context(request: AuthorizationRequest) -> ConditionValues:
        return request.context(name)

    return of_principal if is_principal_key(name) else of_context


def _absent(_request: AuthorizationRequest) -> ConditionValues:
    return None
