"""How far a resource policy reaches: whom its statements with the effect Allow name for some actions.

It is an overview, and not a decision: it leaves out statements with the effect Deny, grants, and the identity policies
of an account that is named. So fewer may do it than it names, and no others may by this policy alone.
"""

from collections.abc import Collection, Iterator

import msgspec

from strongroom.iam.document import Effect, NamedPrincipal, PolicyDocument, Statement
from strongroom.iam.wildcards import PatternSet
from strongroom.iam.work import TooMuchWork, Work


class Reach(msgspec.Struct, frozen=True):
    """Whom a policy names: everyone, also where that depends on conditions; accounts as a whole; other principals.

    ``accounts`` has account ids, ``principals`` ARNs, unique ids of principals that were deleted, and names of
    services. Each is there once, in the order of the policy.
    """

    everyone: bool = False
    everyone_if: bool = False
    accounts: tuple[str, ...] = ()
    principals: tuple[str, ...] = ()


def reach_of(document: PolicyDocument, actions: Collection[str]) -> Reach:
    """Return whom a policy allows any of some actions, such as ``kms:Decrypt``."""
    names = [action.lower() for action in actions]
    granting = [each for each in document.statements if each.effect is Effect.ALLOW and _is_about(each, names)]
    named = dict.fromkeys(principal for each in granting for principal in _named(each))
    return Reach(
        everyone=any(_is_for_everyone(each) and not each.conditions for each in granting),
        everyone_if=any(
            (_is_for_everyone(each) and bool(each.conditions)) or _is_for_all_but_some(each) for each in granting
        ),
        accounts=tuple(dict.fromkeys(each.account for each in named if each.account is not None)),
        principals=tuple(each.value for each in named if each.account is None),
    )


def _is_about(statement: Statement, names: Collection[str]) -> bool:
    if statement.action is None:
        return False
    patterns = PatternSet((each.lower(),) for each in statement.action.patterns)
    work = Work()
    try:
        return any(patterns.match(name, work) is not statement.action.negated for name in names)
    except TooMuchWork:
        # A decision would refuse. What is too much to read must not look as if it named no one.
        return True


def _is_for_everyone(statement: Statement) -> bool:
    element = statement.principal
    return element is not None and not element.negated and any(each.is_everyone for each in element.principals)


def _is_for_all_but_some(statement: Statement) -> bool:
    return statement.principal is not None and statement.principal.negated


def _named(statement: Statement) -> Iterator[NamedPrincipal]:
    element = statement.principal
    if element is not None and not element.negated:
        yield from (each for each in element.principals if not each.is_everyone)
