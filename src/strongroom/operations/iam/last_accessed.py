"""Reports on when users, groups, roles and policies were last used, by service.

A job is stored with nothing but what it is about: the report is made when it is fetched, so any worker can make it, and
it is never out of date.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from strongroom.arns import parse_arn
from strongroom.entropy import uuid
from strongroom.errors import InvalidInputException, NoSuchEntityException
from strongroom.iam.aws_managed_policies import AWS_POLICIES, AwsPolicy
from strongroom.iam.entities import Entity, EntityKind, Group, Holder, ManagedPolicy, Relation, Role, User
from strongroom.operations.context import Context
from strongroom.operations.iam.entities import entity_called, required
from strongroom.operations.iam.granted_services import SERVICES, documents_of, granted
from strongroom.operations.iam.groups import members
from strongroom.operations.iam.last_used import uses_of
from strongroom.operations.iam.managed_policies import found_policy
from strongroom.operations.iam.shapes import Arn, PagedRequest, PagedResponse, cut
from strongroom.operations.shapes import Request, Response, matching
from strongroom.operations.targets import Target
from strongroom.store.protocol import Reader, Transaction
from strongroom.store.records import LastAccessedJob, PrincipalUse
from strongroom.store.scopes import AccountScope
from strongroom.store.subjects.identities import IdentityReader

JobId = Annotated[str, Meta(min_length=36, max_length=36)]
ServiceNamespace = Annotated[str, Meta(min_length=1, max_length=64), matching(r"[\w-]*")]

_LATEST = 100_000_000_000.0
"""Epoch seconds that no time exceeds."""

_KINDS: dict[str, type[User | Group | Role | ManagedPolicy]] = {
    kind.kind.value: kind for kind in (User, Group, Role, ManagedPolicy)
}
"""The resource types of ARNs that reports can be about."""

Subject = User | Group | Role | ManagedPolicy | AwsPolicy
Actor = User | Role
"""A principal that makes calls."""


class Granularity(StrEnum):
    """What a report shows. Single actions are not tracked, so both show services."""

    SERVICE_LEVEL = "SERVICE_LEVEL"
    ACTION_LEVEL = "ACTION_LEVEL"


class GenerateServiceLastAccessedDetailsRequest(Request):
    """The request of GenerateServiceLastAccessedDetails: a user, group, role or policy."""

    arn: Arn
    granularity: Granularity | None = None


class GenerateServiceLastAccessedDetailsResponse(Response):
    """The response of GenerateServiceLastAccessedDetails."""

    job_id: str


class GetServiceLastAccessedDetailsRequest(PagedRequest, kw_only=True):
    """The request of GetServiceLastAccessedDetails."""

    job_id: JobId


class ServiceLastAccessed(msgspec.Struct, rename="pascal", frozen=True, kw_only=True):
    """When a service was last used, from which Region and by which user or role. None if it was not."""

    service_name: str
    last_authenticated: float | None
    service_namespace: str
    last_authenticated_entity: str | None
    last_authenticated_region: str | None
    total_authenticated_entities: int


class GetServiceLastAccessedDetailsResponse(PagedResponse, kw_only=True):
    """The response of GetServiceLastAccessedDetails."""

    job_status: str = "COMPLETED"
    job_type: Granularity
    job_creation_date: float
    services_last_accessed: list[ServiceLastAccessed]
    job_completion_date: float


class GetServiceLastAccessedDetailsWithEntitiesRequest(PagedRequest, kw_only=True):
    """The request of GetServiceLastAccessedDetailsWithEntities."""

    job_id: JobId
    service_namespace: ServiceNamespace


class EntityInfo(msgspec.Struct, rename="pascal", frozen=True):
    """A user or role; ``type`` is its kind in capital letters."""

    arn: str
    name: str
    type: str
    id: str
    path: str


class EntityDetails(msgspec.Struct, rename="pascal", frozen=True):
    """A user or role that could have used the service, and when it last did."""

    entity_info: EntityInfo
    last_authenticated: float | None


class GetServiceLastAccessedDetailsWithEntitiesResponse(PagedResponse, kw_only=True):
    """The response of GetServiceLastAccessedDetailsWithEntities: the latest use first."""

    job_status: str = "COMPLETED"
    job_creation_date: float
    job_completion_date: float
    entity_details_list: list[EntityDetails]


def locate_generation(context: Context, request: GenerateServiceLastAccessedDetailsRequest) -> Sequence[Target]:
    """Return the target: what the report is about. It need not exist: a refusal must not tell whether it does."""
    with context.read() as reader:
        found = _called(reader, request.arn, context.caller.account)
    tags = found.tags if isinstance(found, Entity) else ()
    return (Target("iam:GenerateServiceLastAccessedDetails", request.arn, tags=tags),)


def generate_service_last_accessed_details(
    context: Context, request: GenerateServiceLastAccessedDetailsRequest
) -> GenerateServiceLastAccessedDetailsResponse:
    """Store a job. There is one for each subject and granularity, so calling again returns the same id.

    Raises NoSuchEntityException, InvalidInputException.
    """
    job_id, account = uuid(context.backends.entropy), context.caller.account
    granularity = request.granularity or Granularity.SERVICE_LEVEL

    def put(transaction: Transaction) -> LastAccessedJob:
        subject = _required_subject(transaction, request.arn, account)
        named = subject.arn if isinstance(subject, AwsPolicy) else subject.unique_id
        return transaction.put_last_accessed_job(LastAccessedJob(job_id, account, named, granularity, context.now))

    job = context.backends.store.write(put, AccountScope(account))
    return GenerateServiceLastAccessedDetailsResponse(job_id=job.job_id)


def get_service_last_accessed_details(
    context: Context, request: GetServiceLastAccessedDetailsRequest
) -> GetServiceLastAccessedDetailsResponse:
    """Return which services could have been used, and when each last was, by namespace."""
    with context.read() as reader:
        job, subject = _required_job(context, reader, request.job_id)
        actors = {each.unique_id: each for each in _actors(reader, context.caller.account, subject)}
        uses = uses_of(reader, list(actors), context.now)
        services = sorted(_services(reader, subject, uses))
    shown = [_shown(service, [use for use in uses if use.service == service], actors) for service in services]
    kept, more, marker = cut(f"LastAccessed {job.job_id}", request, shown, lambda each: each.service_namespace)
    return GetServiceLastAccessedDetailsResponse(
        job_type=Granularity(job.granularity),
        job_creation_date=job.created_at,
        services_last_accessed=kept,
        job_completion_date=job.created_at,
        is_truncated=more,
        marker=marker,
    )


def get_service_last_accessed_details_with_entities(
    context: Context, request: GetServiceLastAccessedDetailsWithEntitiesRequest
) -> GetServiceLastAccessedDetailsWithEntitiesResponse:
    """Return the users and roles that could have used a service, and when each last did."""
    with context.read() as reader:
        job, subject = _required_job(context, reader, request.job_id)
        actors = _actors(reader, context.caller.account, subject)
        uses = uses_of(reader, [each.unique_id for each in actors], context.now)
        if request.service_namespace not in _services(reader, subject, uses):
            actors = []
    used_at = {use.unique_id: use.used_at for use in uses if use.service == request.service_namespace}
    found = [EntityDetails(_info(each), used_at.get(each.unique_id)) for each in actors]
    scope = f"LastAccessedBy {job.job_id} {request.service_namespace}"
    kept, more, marker = cut(scope, request, sorted(found, key=_latest_first), _latest_first)
    return GetServiceLastAccessedDetailsWithEntitiesResponse(
        job_creation_date=job.created_at,
        job_completion_date=job.created_at,
        entity_details_list=kept,
        is_truncated=more,
        marker=marker,
    )


def _called(reader: IdentityReader, arn: str, account: str) -> Subject | None:
    """Return what an ARN names, None if there is no such entity in the account, and no such AWS managed policy."""
    if arn in AWS_POLICIES:
        return AWS_POLICIES[arn]
    found = entity_called(reader, arn, account, _KINDS.values())
    return found if isinstance(found, Subject) else None


def _required_subject(reader: IdentityReader, arn: str, account: str) -> Subject:
    found = _called(reader, arn, account)
    if found is not None:
        return found
    parsed = parse_arn(arn)
    if parsed is None or parsed.service != "iam" or parsed.resource_type not in _KINDS:
        raise InvalidInputException(f"ARN {arn} is not valid.")
    if parsed.resource_type == EntityKind.POLICY:
        return found_policy(reader, arn, account)
    raise NoSuchEntityException(f"The {parsed.resource_type} with name {parsed.resource_name} cannot be found.")


def _required_job(context: Context, reader: Reader, job_id: str) -> tuple[LastAccessedJob, Subject]:
    job = reader.last_accessed_job(context.caller.account, job_id)
    subject = None
    if job is not None:
        subject = AWS_POLICIES.get(job.subject) or reader.entity_by_id(job.subject)
    if job is None or not isinstance(subject, Subject):
        raise NoSuchEntityException(f"The job with id {job_id} cannot be found.")
    return job, subject


def _actors(reader: IdentityReader, account: str, subject: Subject) -> list[Actor]:
    """Return the users and roles that could have used the permissions of a subject, each once."""
    if isinstance(subject, User | Role):
        return [subject]
    if isinstance(subject, Group):
        return [*members(reader, subject)]
    return _users_and_roles_with(reader, account, subject.arn)


def _users_and_roles_with(reader: IdentityReader, account: str, policy: str) -> list[Actor]:
    """Return the users and roles that have a policy attached, or are in a group that has it."""
    found: dict[str, Actor] = {}
    for relation, kind, name in reader.linked(account, policy):
        if relation is not Relation.ATTACHED:
            continue
        if kind is EntityKind.GROUP:
            holders: list[Actor] = [*members(reader, required(reader, Group, account, name))]
        elif kind is EntityKind.USER:
            holders = [required(reader, User, account, name)]
        else:
            holders = [required(reader, Role, account, name)]
        found |= {each.unique_id: each for each in holders}
    return list(found.values())


def _services(reader: IdentityReader, subject: Subject, uses: Sequence[PrincipalUse]) -> set[str]:
    """Return the services that a subject's policies allow.

    For a user or role also those it has used: a key policy or a grant is enough to use KMS.
    """
    if not isinstance(subject, Holder):
        return granted((subject.document,))
    allowed = granted(documents_of(reader, subject))
    return allowed if isinstance(subject, Group) else allowed | {use.service for use in uses}


def _shown(service: str, uses: Sequence[PrincipalUse], actors: dict[str, Actor]) -> ServiceLastAccessed:
    """Return the last use of a service; ``uses`` has the latest first."""
    last = uses[0] if uses else None
    return ServiceLastAccessed(
        service_name=SERVICES[service],
        last_authenticated=None if last is None else last.used_at,
        service_namespace=service,
        last_authenticated_entity=None if last is None else actors[last.unique_id].arn,
        last_authenticated_region=None if last is None else last.region,
        total_authenticated_entities=len(uses),
    )


def _info(actor: Actor) -> EntityInfo:
    return EntityInfo(actor.arn, actor.name, actor.kind.upper(), actor.unique_id, actor.path)


def _latest_first(details: EntityDetails) -> str:
    before_the_end = _LATEST - (details.last_authenticated or 0.0)
    return f"{before_the_end:019.6f} {details.entity_info.id}"
