"""Which of the services here a policy allows something of."""

from collections.abc import Iterable, Iterator

from strongroom.iam import PolicyDocument, PolicyKind, parse_policy
from strongroom.iam.document import Effect, PatternElement
from strongroom.iam.entities import Group, Holder, User
from strongroom.snapshot.identity_policies import document_of
from strongroom.store.subjects.identities import IdentityReader

SERVICES = {
    "iam": "AWS Identity and Access Management",
    "kms": "AWS Key Management Service",
    "sts": "AWS Security Token Service",
}
"""Namespace → name, as AWS's reports show it."""


def granted(documents: Iterable[str]) -> set[str]:
    """Return the namespaces of services of which identity policies allow any action, whatever they deny."""
    parsed = [parse_policy(document, PolicyKind.IDENTITY) for document in documents]
    return {service for service in SERVICES if any(_allows(document, service) for document in parsed)}


def documents_of(reader: IdentityReader, holder: Holder) -> Iterator[str]:
    """Yield the policies of a group or role, or of a user and its groups: inline ones, and managed ones attached."""
    holders = [holder]
    if isinstance(holder, User):
        groups = (reader.entity(Group, holder.account, name) for name in holder.groups)
        holders += [group for group in groups if group is not None]
    for each in holders:
        yield from (policy.document for policy in each.inline)
        managed = (document_of(reader, arn) for arn in each.attached)
        yield from (document for document in managed if document is not None)


def _allows(document: PolicyDocument, service: str) -> bool:
    return any(
        _reaches(statement.action, service)
        for statement in document.statements
        if statement.effect is Effect.ALLOW and statement.action is not None
    )


def _reaches(action: PatternElement, service: str) -> bool:
    """Tell whether an Action element names any action of a service, or a NotAction element leaves any out.

    The grammar has no wildcards in the service, but for the pattern that is a single star.
    """
    for pattern in action.patterns:
        prefix, _, name = pattern.lower().partition(":")
        if prefix in {service, "*"} and (not action.negated or name.strip("*") == ""):
            return not action.negated
    return action.negated
