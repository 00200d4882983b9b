"""Why: the decision on a question nobody has asked yet, and everyone who would get a yes."""

from collections.abc import Iterator, Mapping

import msgspec

from strongroom.iam import denial_message
from strongroom.iam.entities import Role, User
from strongroom.operations.authorization import decide_on, explanation
from strongroom.operations.conditions import Circumstances
from strongroom.operations.context import Backends, Context, Origin
from strongroom.operations.shapes import Request
from strongroom.operations.targets import on_key
from strongroom.snapshot.principals import Credential
from strongroom.store.protocol import Reader

_ALL = 1_000_000
_ORIGIN = Origin(request_id="", source_ip="127.0.0.1", user_agent="strongroom explain", secure=True)


class Question(Request):
    """What a call would carry."""

    encryption_context: dict[str, str] | None = None


class Asked(msgspec.Struct, frozen=True):
    """An action on a key in a Region, at a time (epoch seconds), with an encryption context."""

    action: str
    key_id: str
    region: str
    now: float
    encryption_context: Mapping[str, str]


class Explanation(msgspec.Struct, frozen=True):
    """The answer: yes or no, what decided, and AWS's words for a no."""

    principal: str
    allowed: bool
    facts: Mapping[str, object]
    message: str | None


class NoSuchPrincipal(Exception):
    """There is no user, role, root or service of that name."""


def explain(backends: Backends, principal: str, asked: Asked) -> Explanation:
    """Decide as the service would, and say why; raises NoSuchPrincipal, and what finding the key raises."""
    backends.snapshot.refresh()
    credential = backends.snapshot.principals.named(principal)
    if credential is None:
        raise NoSuchPrincipal(principal)
    return _explained(backends, credential, asked)


def who_can(backends: Backends, asked: Asked) -> Iterator[Explanation]:
    """Yield every root, user, role and service that would be allowed."""
    backends.snapshot.refresh()
    with backends.store.read() as reader:
        names = list(_everyone(reader))
    for name in names:
        credential = backends.snapshot.principals.named(name)
        if credential is not None:
            found = _explained(backends, credential, asked)
            if found.allowed:
                yield msgspec.structs.replace(found, principal=name)


def _explained(backends: Backends, credential: Credential, asked: Asked) -> Explanation:
    context = Context(
        backends=backends,
        credential=credential,
        region=asked.region,
        now=asked.now,
        action=asked.action,
        rule=None,
        origin=_ORIGIN,
    )
    target = on_key(context, asked.action, asked.key_id)
    question = Question(encryption_context=dict(asked.encryption_context))
    decision = decide_on(Circumstances(context, question, target, (target,)))
    caller = credential.principal
    message = None if decision.allowed else denial_message(decision, caller, asked.action, target.resource)
    return Explanation(caller.arn, decision.allowed, explanation(target, decision), message)


def _everyone(reader: Reader) -> Iterator[str]:
    for record in reader.accounts():
        yield f"arn:aws:iam::{record.account}:root"
        for kind in (User, Role):
            yield from (entity.arn for entity in reader.entities(kind, record.account, "/", "", _ALL))
    yield from reader.services()
