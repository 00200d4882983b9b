"""Versions of managed policies: at most five are kept, one is the default."""

import msgspec
from msgspec.structs import replace

from strongroom.errors import DeleteConflictException, LimitExceededException, NoSuchEntityException
from strongroom.iam.aws_managed_policies import AWS_POLICIES, AwsPolicy
from strongroom.iam.entities import ManagedPolicy, PolicyVersion
from strongroom.operations.context import Context
from strongroom.operations.iam.managed_policies import PolicyRequest, accept, change_policy, found_policy
from strongroom.operations.iam.shapes import Arn, PagedRequest, PagedResponse, PolicyText, VersionId, cut, encoded
from strongroom.operations.shapes import Empty, Response

_MAX_VERSIONS = 5
_LAST_NUMBER = 99_999_999


class PolicyVersionShape(msgspec.Struct, rename="pascal", frozen=True, kw_only=True):
    """A version of a policy; lists leave the document out."""

    document: str | None = None
    version_id: str
    is_default_version: bool
    create_date: float


class CreatePolicyVersionRequest(PolicyRequest, kw_only=True):
    """The request of CreatePolicyVersion."""

    policy_document: PolicyText
    set_as_default: bool = False


class PolicyVersionResponse(Response):
    """The response of CreatePolicyVersion and GetPolicyVersion."""

    policy_version: PolicyVersionShape


class PolicyVersionRequest(PolicyRequest, kw_only=True):
    """The request of actions on one version of a policy."""

    version_id: VersionId


class ListPolicyVersionsRequest(PagedRequest, kw_only=True):
    """The request of ListPolicyVersions."""

    policy_arn: Arn


class ListPolicyVersionsResponse(PagedResponse, kw_only=True):
    """The response of ListPolicyVersions."""

    versions: list[PolicyVersionShape]


def create_policy_version(context: Context, request: CreatePolicyVersionRequest) -> PolicyVersionResponse:
    """Add a version, and make it the default if the request says so; at most five are kept."""
    accept(request.policy_document)

    def extended(policy: ManagedPolicy) -> ManagedPolicy:
        if len(policy.versions) >= _MAX_VERSIONS:
            raise LimitExceededException(
                f"A managed policy can have up to {_MAX_VERSIONS} versions. Before you create a new version, "
                "you must delete an existing version."
            )
        number = policy.last_version + 1
        return replace(
            policy,
            versions=(*policy.versions, PolicyVersion(number, request.policy_document, context.now)),
            last_version=number,
            default_version=number if request.set_as_default else policy.default_version,
            updated_at=context.now,
        )

    policy = change_policy(context, request.policy_arn, extended)
    shown = _version_shown(policy, policy.versions[-1])
    return PolicyVersionResponse(policy_version=replace(shown, document=None))


def get_policy_version(context: Context, request: PolicyVersionRequest) -> PolicyVersionResponse:
    """Return one version with its document."""
    if request.policy_arn in AWS_POLICIES and request.version_id == "v1":
        return PolicyVersionResponse(policy_version=_aws_version(AWS_POLICIES[request.policy_arn]))
    with context.read() as reader:
        policy = found_policy(reader, request.policy_arn, context.caller.account)
    return PolicyVersionResponse(policy_version=_version_shown(policy, _version(policy, request.version_id)))


def list_policy_versions(context: Context, request: ListPolicyVersionsRequest) -> ListPolicyVersionsResponse:
    """List a policy's versions, newest first, without their documents."""
    if request.policy_arn in AWS_POLICIES:
        return ListPolicyVersionsResponse(
            versions=[replace(_aws_version(AWS_POLICIES[request.policy_arn]), document=None)]
        )
    with context.read() as reader:
        policy = found_policy(reader, request.policy_arn, context.caller.account)
    newest_first = sorted(policy.versions, key=_marker_of)
    kept, more, marker = cut(f"ListPolicyVersions {policy.unique_id}", request, newest_first, _marker_of)
    shown = [replace(_version_shown(policy, version), document=None) for version in kept]
    return ListPolicyVersionsResponse(versions=shown, is_truncated=more, marker=marker)


def _marker_of(version: PolicyVersion) -> str:
    """Return a marker that sorts the newest version first."""
    return f"{_LAST_NUMBER - version.number:08}"


def set_default_policy_version(context: Context, request: PolicyVersionRequest) -> Empty:
    """Make a version the default one."""
    change_policy(
        context,
        request.policy_arn,
        lambda policy: replace(
            policy, default_version=_version(policy, request.version_id).number, updated_at=context.now
        ),
    )
    return Empty()


def delete_policy_version(context: Context, request: PolicyVersionRequest) -> Empty:
    """Delete a version that is not the default one."""

    def without(policy: ManagedPolicy) -> ManagedPolicy:
        version = _version(policy, request.version_id)
        if version.number == policy.default_version:
            raise DeleteConflictException("Cannot delete the default version of a policy.")
        return replace(policy, versions=tuple(each for each in policy.versions if each is not version))

    change_policy(context, request.policy_arn, without)
    return Empty()


def _version(policy: ManagedPolicy, version_id: str) -> PolicyVersion:
    for version in policy.versions:
        if version.version_id == version_id:
            return version
    raise NoSuchEntityException(f"Policy {policy.arn} version {version_id} does not exist or is not attachable.")


def _version_shown(policy: ManagedPolicy, version: PolicyVersion) -> PolicyVersionShape:
    return PolicyVersionShape(
        document=encoded(version.document),
        version_id=version.version_id,
        is_default_version=version.number == policy.default_version,
        create_date=version.created_at,
    )


def _aws_version(policy: AwsPolicy) -> PolicyVersionShape:
    return PolicyVersionShape(
        document=encoded(policy.document), version_id="v1", is_default_version=True, create_date=policy.created_at
    )
