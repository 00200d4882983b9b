"""The policies of a user, a role, a group or a session, compiled.

Nothing that a user or role refers to can be deleted while it does: DeletePolicy and DeleteGroup answer DeleteConflict.
So a policy or group that is missing was lost or removed in the database. A Deny may have been in it, so who depends on
it is refused until it is restored.
"""

from typing import NoReturn

import msgspec

from strongroom.arns import parse_arn
from strongroom.bounded_cache import put
from strongroom.errors import QuarantinedIdentityException
from strongroom.iam import CompiledPolicy, Policies, PolicyKind, compile_policy, parse_policy
from strongroom.iam.aws_managed_policies import AWS_POLICIES
from strongroom.iam.entities import EntityKind, Group, Holder, ManagedPolicy, User
from strongroom.iam.session import Session
from strongroom.store.quarantine import Finding, Quarantine, identity_record
from strongroom.store.subjects.identities import IdentityReader

_MAX_COMPILED = 1000


class IdentityPolicies:
    """Reads and compiles the policies that hold for a caller. All methods raise QuarantinedIdentityException."""

    def __init__(self, quarantine: Quarantine) -> None:
        self._quarantine = quarantine
        self._compiled: dict[tuple[str, str], CompiledPolicy] = {}
        """Managed policies by ARN and document, shared by all principals that have them attached. Never out of date."""

    def of_holder(self, reader: IdentityReader, entity: Holder) -> Policies:
        """Return the policies of a user with those of its groups, of a role or of a group, and the boundary."""
        holders: list[Holder] = [entity]
        if isinstance(entity, User):
            holders += [self._group(reader, entity, name) for name in entity.groups]
        boundary = () if entity.boundary is None else (self._attached(reader, entity, entity.boundary),)
        return Policies(
            identity=tuple(policy for holder in holders for policy in self._held(reader, holder)), boundary=boundary
        )

    def of_session(self, reader: IdentityReader, session: Session, own: Policies) -> Policies:
        """Return the policies ``own`` to the role of a session, limited by the session's.

        A managed policy can be deleted while a session has it. The session is allowed nothing from then on, because
        the policy may have denied something.
        """
        inline = tuple(_compile(document, "session policy") for document in session.policies)
        managed = [self._managed(reader, arn) for arn in session.policy_arns]
        found = tuple(each for each in managed if each is not None)
        limits = (*inline, *found) if len(found) == len(managed) else (_NOTHING,)
        return msgspec.structs.replace(own, session=limits)

    def _held(self, reader: IdentityReader, holder: Holder) -> tuple[CompiledPolicy, ...]:
        inline = (_compile(policy.document, f"{holder.arn} inline policy {policy.name}") for policy in holder.inline)
        return (*inline, *(self._attached(reader, holder, arn) for arn in holder.attached))

    def _group(self, reader: IdentityReader, user: User, name: str) -> Group:
        return reader.entity(Group, user.account, name) or self._refuse(
            user, identity_record(user.account, EntityKind.GROUP, name.lower())
        )

    def _attached(self, reader: IdentityReader, holder: Holder, arn: str) -> CompiledPolicy:
        return self._managed(reader, arn) or self._refuse(holder, _record_of(arn))

    def _managed(self, reader: IdentityReader, arn: str) -> CompiledPolicy | None:
        document = document_of(reader, arn)
        if document is None:
            return None
        compiled = self._compiled.get((arn, document))
        return compiled or put(self._compiled, (arn, document), _compile(document, arn), _MAX_COMPILED)

    def _refuse(self, holder: Holder, missing: str) -> NoReturn:
        self._quarantine.add(Finding(missing, f"its stored record is missing, but {holder.arn} depends on it"))
        error = QuarantinedIdentityException(
            f"The stored record of {missing} is missing, so {holder.arn} cannot be used until it is restored."
        )
        error.details = {"quarantined": missing}
        raise error


def document_of(reader: IdentityReader, arn: str) -> str | None:
    """Return the document in force of a managed policy, AWS's or an account's own."""
    if arn in AWS_POLICIES:
        return AWS_POLICIES[arn].document
    parsed = parse_arn(arn)
    policy = None if parsed is None else reader.entity(ManagedPolicy, parsed.account, parsed.resource_name)
    return policy.document if policy is not None and policy.arn == arn else None


def _record_of(arn: str) -> str:
    parsed = parse_arn(arn)
    if parsed is None:
        return f"policy {arn}"
    return identity_record(parsed.account, EntityKind.POLICY, parsed.resource_name.lower())


def _compile(document: str, name: str) -> CompiledPolicy:
    return compile_policy(parse_policy(document, PolicyKind.IDENTITY), name)


_NOTHING = _compile('{"Statement":{"Effect":"Allow","Action":"none:None","Resource":"*"}}', "a policy that is gone")
