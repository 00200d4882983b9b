"""GetKeyPolicy, PutKeyPolicy and ListKeyPolicies."""

from msgspec.structs import replace
from typing_extensions import override

from strongroom.errors import LimitExceededException, MalformedPolicyDocumentException, NotFoundException
from strongroom.iam import MalformedPolicy, PolicyKind, accept_policy
from strongroom.keys.key_policy import MAX_POLICY_BYTES, POLICY_NAME, reformat
from strongroom.keys.kms_key import KmsKey
from strongroom.operations.authorization import would_allow
from strongroom.operations.condition_parameters import ConditionParameters
from strongroom.operations.context import Context
from strongroom.operations.kms.key_changes import modify
from strongroom.operations.named_principals import UnknownPrincipal, pin, with_current_names
from strongroom.operations.paging import PageSize, page
from strongroom.operations.shapes import Empty, KeyId, Limit, Marker, PolicyDocument, PolicyName, Request, Response
from strongroom.operations.targets import Target
from strongroom.snapshot.active_key import ActiveKey

_PAGE = PageSize(default=100, maximum=1000)


class GetKeyPolicyRequest(Request):
    """The request of GetKeyPolicy."""

    key_id: KeyId
    policy_name: PolicyName = POLICY_NAME

    @override
    def condition_parameters(self, action: str) -> ConditionParameters:
        return ConditionParameters(policy_name=self.policy_name)


class GetKeyPolicyResponse(Response):
    """The response of GetKeyPolicy."""

    policy: str
    policy_name: str


class PutKeyPolicyRequest(Request):
    """The request of PutKeyPolicy."""

    key_id: KeyId
    policy: PolicyDocument
    policy_name: PolicyName = POLICY_NAME
    bypass_policy_lockout_safety_check: bool | None = None

    @override
    def condition_parameters(self, action: str) -> ConditionParameters:
        return ConditionParameters(
            policy_name=self.policy_name, bypass_policy_lockout_safety_check=self.bypass_policy_lockout_safety_check
        )


class ListKeyPoliciesRequest(Request):
    """The request of ListKeyPolicies."""

    key_id: KeyId
    limit: Limit | None = None
    marker: Marker | None = None


class ListKeyPoliciesResponse(Response):
    """The response of ListKeyPolicies."""

    policy_names: list[str]
    truncated: bool
    next_marker: str | None = None


def get_key_policy(context: Context, request: GetKeyPolicyRequest, active: ActiveKey) -> GetKeyPolicyResponse:
    """Return the key policy with the current names of users and roles."""
    _require_name(request.policy_name)
    policy = active.key.policy
    if active.key.pinned:
        with context.read() as reader:
            policy = with_current_names(reader, policy, active.key.pinned)
    return GetKeyPolicyResponse(policy=policy, policy_name=POLICY_NAME)


def put_key_policy(context: Context, request: PutKeyPolicyRequest, active: ActiveKey) -> Empty:
    """Replace the key policy, unless the caller could not replace it again."""
    _require_name(request.policy_name)
    bypass = bool(request.bypass_policy_lockout_safety_check)
    policy, pinned = accepted_policy(context, request, request.policy, active.key, bypass=bypass)
    modify(context, active, lambda key: replace(key, policy=policy, pinned=pinned))
    return Empty()


def list_key_policies(
    _context: Context, request: ListKeyPoliciesRequest, _active: ActiveKey
) -> ListKeyPoliciesResponse:
    """Return the only name that a key policy can have."""
    asked = page("ListKeyPolicies", request.limit, request.marker, _PAGE)
    names, marker = asked.cut([name for name in (POLICY_NAME,) if name > asked.after], str)
    return ListKeyPoliciesResponse(policy_names=names, truncated=marker is not None, next_marker=marker)


def accepted_policy(
    context: Context, request: Request, text: str, key: KmsKey, *, bypass: bool
) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Return a policy document as it will be stored, and the unique ids of the users and roles it names.

    Raises LimitExceededException over 32 KB, MalformedPolicyDocumentException for a document that cannot be read,
    names principals that do not exist, or, unless ``bypass`` is set, would not let the caller put another.
    """
    if len(text.encode()) > MAX_POLICY_BYTES:
        raise LimitExceededException("The key policy exceeds the size limit of 32768 bytes.")
    try:
        document = accept_policy(text, PolicyKind.RESOURCE)
        with context.read() as reader:
            pinned = pin(reader, document.principals)
    except MalformedPolicy as error:
        raise MalformedPolicyDocumentException(str(error)) from None
    except UnknownPrincipal:
        raise MalformedPolicyDocumentException(
            "Policy contains a statement with one or more invalid principals."
        ) from None
    accepted = replace(key, policy=reformat(text), pinned=pinned)
    active = context.backends.snapshot.active(accepted)
    next_time = Target("kms:PutKeyPolicy", key.arn, active, policy=active.policy, tags=key.tags)
    if not bypass and not would_allow(context, next_time, request):
        raise MalformedPolicyDocumentException(
            "The new key policy will not allow you to update the key policy in the future."
        )
    return accepted.policy, pinned


def _require_name(name: str) -> None:
    if name != POLICY_NAME:
        raise NotFoundException(f"No such policy exists: {name}")
