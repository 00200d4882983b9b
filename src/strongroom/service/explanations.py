"""Explains decisions: whether a principal would be allowed an action, and all who would be. Changes nothing."""

from collections.abc import Iterator, Mapping, Sequence

import msgspec
from typing_extensions import override

from strongroom.iam import Decision, Reason, Source, denial_message
from strongroom.iam.entities import Role, User
from strongroom.keys.arns import KeyIdForms, not_found, parse_key_id, root_arn
from strongroom.operations.authorization import decide_on, explanation
from strongroom.operations.condition_keys import DecisionContext
from strongroom.operations.context import Backends, Context, Origin
from strongroom.operations.kms.table import TABLE
from strongroom.operations.kms.targets import on_active
from strongroom.operations.shapes import Request
from strongroom.operations.targets import Target
from strongroom.snapshot.principals import Credential
from strongroom.store.subjects.identities import IdentityReader

_ALL = 1_000_000

# ReEncrypt needs two permissions, none of its own name.
_OPERATIONS = {row.action: row for row in TABLE.values()}
_OPERATIONS["kms:ReEncryptFrom"] = _OPERATIONS["kms:ReEncryptTo"] = _OPERATIONS.pop("kms:ReEncrypt")
_SPELLINGS = {action.lower(): action for action in _OPERATIONS}

_ON_NO_KEY = frozenset(
    {
        *("kms:CreateKey", "kms:ListKeys", "kms:ListAliases", "kms:ListRetirableGrants", "kms:GenerateRandom"),
        *("kms:CreateCustomKeyStore", "kms:ConnectCustomKeyStore", "kms:DescribeCustomKeyStores"),
        *("kms:UpdateCustomKeyStore", "kms:DisconnectCustomKeyStore", "kms:DeleteCustomKeyStore"),
    }
)
"""Actions on the account as a whole (Service Authorization Reference, "Actions defined by AWS KMS")."""


class Question(Request):
    """The request of the call that is asked about."""

    encryption_context: dict[str, str] | None = None

    @override
    def encryption_context_for(self, action: str) -> Mapping[str, str] | None:
        return self.encryption_context


class Asked(msgspec.Struct, frozen=True):
    """An action on a key in a Region, at a time (epoch seconds), with an encryption context.

    ``key_id`` is an ARN, so that it does not depend on the caller; None for actions on no key. ``source_ip`` is the
    address that the call comes from, and ``secure`` tells whether it comes over TLS.
    """

    action: str
    key_id: str | None
    region: str
    now: float
    encryption_context: Mapping[str, str]
    source_ip: str = "127.0.0.1"
    secure: bool = True


class Explanation(msgspec.Struct, frozen=True):
    """The decision, what it was decided by, and AWS's message if it is a refusal."""

    principal: str
    allowed: bool
    facts: Mapping[str, object]
    message: str | None


class NoAnswer(Exception):
    """The question cannot be answered; the message says why."""


def explain(backends: Backends, principal: str, asked: Asked) -> Explanation:
    """Decide as the service would, and say why; raises NoAnswer, and what finding the key raises."""
    backends.snapshot.refresh()
    target = _target(backends, asked)
    credential = backends.snapshot.principals.named(principal, may_wait=True)
    if credential is None:
        raise NoAnswer(f"there is no principal {principal}")
    return _explained(backends, credential, asked, target)


def everyone(backends: Backends) -> list[str]:
    """Return every root, user, role and service. Roots have the partition of the first Region, as those who call do."""
    with backends.store.read() as reader:
        return list(_everyone(reader, backends.regions[0]))


def who_can(backends: Backends, asked: Asked, names: Sequence[str] | None = None) -> Iterator[Explanation]:
    """Yield all of ``names`` that would be allowed, by default of ``everyone``; raises as ``explain`` does."""
    backends.snapshot.refresh()
    target = _target(backends, asked)
    for name in everyone(backends) if names is None else names:
        credential = backends.snapshot.principals.named(name, may_wait=True)
        if credential is not None:
            found = _explained(backends, credential, asked, target)
            if found.allowed:
                yield msgspec.structs.replace(found, principal=name)


def action_named(text: str) -> str:
    """Return an action as AWS spells it; raises NoAnswer if there is none of that name."""
    action = _SPELLINGS.get(text.lower())
    if action is None:
        raise NoAnswer(f"there is no action {text}")
    return action


def _target(backends: Backends, asked: Asked) -> Target:
    action = action_named(asked.action)
    if action == "kms:RetireGrant":
        raise NoAnswer("who may retire a grant depends on the grant, not on its key; ListGrants shows it")
    if action in _ON_NO_KEY:
        if asked.key_id is not None:
            raise NoAnswer(f"{action} is an action on no key; leave the key out")
        return Target(action)
    if asked.key_id is None:
        raise NoAnswer(f"{action} is an action on a key; say which with --key")
    locator = parse_key_id(asked.key_id, "", asked.region, KeyIdForms.ANY)
    active = backends.snapshot.find(locator, may_wait=True)
    if active is None:
        raise not_found(locator)
    return on_active(active, action, asked.key_id)


def _explained(backends: Backends, credential: Credential, asked: Asked, target: Target) -> Explanation:
    caller, crosses = credential.principal, _OPERATIONS[target.action].cross_account
    context = Context(
        backends=backends,
        credential=credential,
        region=asked.region,
        now=asked.now,
        action=target.action,
        rule=None,
        cross_account=crosses,
        origin=Origin("", asked.source_ip, "strongroom explain", asked.secure),
    )
    if target.key is not None and target.key.key.account != caller.account and not crosses:
        decision = Decision(allowed=False, reason=Reason.HIDDEN, source=Source.RESOURCE_POLICY)
        facts = explanation(target, decision) | {"missing": "this action works on keys of one's own account only"}
    else:
        question = Question(encryption_context=dict(asked.encryption_context))
        decision = decide_on(DecisionContext(context, question, target, (target,)))
        facts = explanation(target, decision)
    message = None if decision.allowed else denial_message(decision, caller, target.action, target.resource)
    return Explanation(caller.arn, decision.allowed, facts, message)


def _everyone(reader: IdentityReader, region: str) -> Iterator[str]:
    for record in reader.accounts():
        yield root_arn(region, record.account)
        for kind in (User, Role):
            yield from (entity.arn for entity in reader.entities(kind, record.account, "/", "", _ALL))
    yield from reader.services()
