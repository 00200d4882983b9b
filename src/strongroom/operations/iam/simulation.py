"""SimulateCustomPolicy and SimulatePrincipalPolicy: decisions on requests that are not made."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated
from xml.sax.saxutils import escape

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from strongroom import arns
from strongroom.errors import InvalidInputException, NoSuchEntityException
from strongroom.iam import (
    SIMULATION_STEPS,
    AuthorizationRequest,
    CompiledPolicy,
    Decision,
    Policies,
    PolicyKind,
    Principal,
    PrincipalKind,
    Reason,
    Source,
    TooMuchWork,
    Work,
    account_root,
    compile_policy,
    decide,
)
from strongroom.iam.entities import Group, Role, User
from strongroom.iam.principals import assumed_role, iam_user
from strongroom.operations.authorization import would_allow
from strongroom.operations.context import Context
from strongroom.operations.iam.entities import accepted_document, entity_called
from strongroom.operations.iam.shapes import (
    Arn,
    PagedRequest,
    PagedResponse,
    PolicyName,
    PolicyText,
    PolicyTexts,
    read_page,
)
from strongroom.operations.shapes import at_most
from strongroom.operations.targets import Target

ActionName = Annotated[str, Meta(min_length=3, max_length=128)]
ResourceName = Annotated[str, Meta(min_length=1, max_length=2048)]


class ContextKeyType(StrEnum):
    """The type of the values of a context entry."""

    STRING = "string"
    STRING_LIST = "stringList"
    NUMERIC = "numeric"
    NUMERIC_LIST = "numericList"
    BOOLEAN = "boolean"
    BOOLEAN_LIST = "booleanList"
    IP = "ip"
    IP_LIST = "ipList"
    BINARY = "binary"
    BINARY_LIST = "binaryList"
    DATE = "date"
    DATE_LIST = "dateList"


class ContextEntry(msgspec.Struct, rename="pascal", frozen=True):
    """A condition key and its values."""

    context_key_name: Annotated[str, Meta(min_length=5, max_length=256)] | None = None
    context_key_values: Annotated[list[Annotated[str, at_most(8192)]], at_most(1000)] | None = None
    context_key_type: ContextKeyType | None = None


class OrganizationPolicies(msgspec.Struct, rename="pascal", frozen=True):
    """Service control policies. They are accepted and have no effect, because there are no organizations here."""

    service_control_policy_input_list: PolicyTexts | None = None


class PolicyType(StrEnum):
    """Kinds of policies that a simulation can leave out."""

    INLINE = "inline"
    AWS_MANAGED = "aws-managed"
    USER_MANAGED = "user-managed"
    BOUNDARY = "permission-boundary"
    SCP = "scp"
    RCP = "rcp"


class AttachmentType(StrEnum):
    """The kinds of entities that have inline policies."""

    USER = "user"
    GROUP = "group"
    ROLE = "role"


class InlinePolicyIdentifier(msgspec.Struct, rename="pascal", frozen=True):
    """One inline policy."""

    policy_name: PolicyName
    attachment_type: AttachmentType
    attachment_name: PolicyName


class PolicyExclusion(msgspec.Struct, rename="pascal", frozen=True):
    """A policy, or a kind of policies, that a simulation leaves out."""

    policy_type: PolicyType | None = None
    policy_arn: Arn | None = None
    inline_policy_identifier: InlinePolicyIdentifier | None = None


class SimulationRequest(PagedRequest, kw_only=True):
    """The request of both simulations."""

    action_names: Annotated[list[ActionName], at_most(1000)]
    permissions_boundary_policy_input_list: PolicyTexts | None = None
    resource_arns: Annotated[list[ResourceName], at_most(1000)] | None = None
    resource_policy: PolicyText | None = None
    resource_owner: ResourceName | None = None
    caller_arn: ResourceName | None = None
    context_entries: Annotated[list[ContextEntry], at_most(1000)] | None = None
    resource_handling_option: Annotated[str, Meta(min_length=1, max_length=64)] | None = None


class SimulateCustomPolicyRequest(SimulationRequest, kw_only=True):
    """The request of SimulateCustomPolicy."""

    policy_input_list: PolicyTexts
    ordered_organization_policy_input_list: Annotated[list[OrganizationPolicies], Meta(max_length=7)] | None = None


class SimulatePrincipalPolicyRequest(SimulationRequest, kw_only=True):
    """The request of SimulatePrincipalPolicy."""

    policy_source_arn: Arn
    policy_input_list: PolicyTexts | None = None
    policy_exclusion_list: Annotated[list[PolicyExclusion], Meta(max_length=256)] | None = None


class EvaluationDecision(StrEnum):
    """The result of a simulated decision."""

    ALLOWED = "allowed"
    EXPLICIT_DENY = "explicitDeny"
    IMPLICIT_DENY = "implicitDeny"


class MatchedStatement(msgspec.Struct, rename="pascal", frozen=True):
    """A statement that decided."""

    source_policy_id: str


class BoundaryDecision(msgspec.Struct, rename="pascal", frozen=True):
    """Whether the permissions boundary allows."""

    allowed_by_permissions_boundary: bool


class EvaluationResult(msgspec.Struct, rename="pascal", frozen=True, kw_only=True):
    """The decision on one action and one resource."""

    eval_action_name: str
    eval_resource_name: str
    eval_decision: EvaluationDecision
    matched_statements: list[MatchedStatement]
    missing_context_values: list[str]
    permissions_boundary_decision_detail: BoundaryDecision | None = None


class SimulatePolicyResponse(PagedResponse, kw_only=True):
    """The response of both simulations."""

    evaluation_results: list[EvaluationResult]


def simulate_custom_policy(context: Context, request: SimulateCustomPolicyRequest) -> SimulatePolicyResponse:
    """Simulate requests with only the policies in the request."""
    caller = _caller(context, request, account_user(context))
    policies = Policies(
        identity=_compiled(request.policy_input_list, "PolicyInputList"),
        boundary=_compiled(request.permissions_boundary_policy_input_list, "PermissionsBoundaryPolicyInputList"),
    )
    return _simulate(request, caller, policies)


def simulate_principal_policy(context: Context, request: SimulatePrincipalPolicyRequest) -> SimulatePolicyResponse:
    """Simulate requests with the policies of a user, group or role, and those in the request."""
    if request.policy_exclusion_list:
        raise InvalidInputException("PolicyExclusionList is not supported.")
    source = request.policy_source_arn
    if _arn(source).account != context.caller.account:
        raise NoSuchEntityException(f"{source} cannot be found.")
    held, principal = _source(context, source)
    policies = replace(
        held,
        identity=(*held.identity, *_compiled(request.policy_input_list, "PolicyInputList")),
        boundary=_compiled(request.permissions_boundary_policy_input_list, "PermissionsBoundaryPolicyInputList")
        or held.boundary,
    )
    return _simulate(request, _caller(context, request, principal), policies)


def locate_simulate_principal_policy(context: Context, request: SimulatePrincipalPolicyRequest) -> Sequence[Target]:
    """Return the target: the user, group or role that is simulated. It need not exist."""
    with context.read() as reader:
        source = entity_called(reader, request.policy_source_arn, context.caller.account, (User, Group, Role))
    tags = () if source is None else source.tags
    return (Target("iam:SimulatePrincipalPolicy", request.policy_source_arn, tags=tags),)


def account_user(context: Context) -> Principal:
    """Return a user that has only the policies of a simulation."""
    return iam_user(f"arn:{context.caller.partition}:iam::{context.caller.account}:user/simulated")


def _simulate(request: SimulationRequest, caller: Principal, policies: Policies) -> SimulatePolicyResponse:
    if request.resource_policy is not None:
        document = accepted_document(request.resource_policy, PolicyKind.RESOURCE)
        policies = replace(policies, resource=compile_policy(document, "ResourcePolicy"))
    entries = _entries(request.context_entries)
    resources = request.resource_arns or ["*"]
    for resource in resources:
        if resource.startswith("arn:"):
            _arn(resource)
    pairs = range(len(request.action_names) * len(resources))

    def read(after: str, limit: int) -> Sequence[int]:
        start = bisect_right(pairs, after, key=_marker_of)
        return pairs[start : start + limit]

    # Only the pairs of the requested page are decided: a thousand actions on as many resources are a million pairs.
    kept, more, marker = read_page("Simulate", request, read, _marker_of)
    work = Work(SIMULATION_STEPS)

    def question(pair: int) -> AuthorizationRequest:
        action, resource = request.action_names[pair // len(resources)], resources[pair % len(resources)]
        # The answer repeats both for each pair, although the request has them once.
        work.spend((_shown_length(action) + _shown_length(resource)) >> 1)
        return AuthorizationRequest(caller, action, resource, work=work)

    try:
        results = [_result(question(pair), policies, entries) for pair in kept]
    except TooMuchWork:
        raise InvalidInputException(
            "The policies in this request take too much work to evaluate. Simulate fewer actions and resources, or "
            "ask for fewer items."
        ) from None
    return SimulatePolicyResponse(evaluation_results=results, is_truncated=more, marker=marker)


def _shown_length(text: str) -> int:
    """Return the length of a text in an answer, where a quotation mark takes six characters."""
    return len(escape(text, {'"': "&quot;"}))


def _marker_of(pair: int) -> str:
    return f"{pair:08}"


def _result(
    question: AuthorizationRequest, policies: Policies, entries: Mapping[str, tuple[str, ...]]
) -> EvaluationResult:
    missing: set[str] = set()

    def read(name: str) -> tuple[str, ...] | None:
        if name not in entries:
            # The answer names it, once for each action and resource.
            question.work.spend(1 + (len(name) >> 2))
            missing.add(name)
        return entries.get(name)

    governed = policies if question.resource.startswith("arn:") else replace(policies, resource=None)
    decision = decide(replace(question, context=read), governed)
    return EvaluationResult(
        eval_action_name=question.action,
        eval_resource_name=question.resource,
        eval_decision=_outcome(decision),
        matched_statements=[] if decision.statement is None else [MatchedStatement(decision.statement.policy)],
        missing_context_values=sorted(missing),
        permissions_boundary_decision_detail=(
            BoundaryDecision(decision.source is not Source.BOUNDARY) if policies.boundary else None
        ),
    )


def _outcome(decision: Decision) -> EvaluationDecision:
    if decision.allowed:
        return EvaluationDecision.ALLOWED
    denied = decision.reason is Reason.EXPLICIT_DENY or decision.statement is not None
    return EvaluationDecision.EXPLICIT_DENY if denied else EvaluationDecision.IMPLICIT_DENY


def _entries(entries: Sequence[ContextEntry] | None) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for each in entries or ():
        if each.context_key_name:
            name = each.context_key_name.lower()
            if name in found:
                raise InvalidInputException(f"The context key {each.context_key_name} is given more than once.")
            found[name] = tuple(each.context_key_values or ())
    return found


def _compiled(documents: Sequence[str] | None, name: str) -> tuple[CompiledPolicy, ...]:
    return tuple(
        compile_policy(accepted_document(text, PolicyKind.IDENTITY), f"{name}.{index}")
        for index, text in enumerate(documents or (), 1)
    )


def _source(context: Context, arn: str) -> tuple[Policies, Principal]:
    """Return the policies of a user, group or role, and the principal that they apply to."""
    named = _arn(arn)
    kind = named.resource_type
    principals = context.backends.snapshot.principals
    if kind == "group":
        policies = principals.policies_of_group(arn)
        if policies is not None:
            return policies, account_user(context)
    found = principals.named(arn, may_wait=context.may_wait) if kind in {"user", "role"} else None
    if found is None:
        raise NoSuchEntityException(f"{arn} cannot be found.")
    return found.policies, found.principal


def _caller(context: Context, request: SimulationRequest, default: Principal) -> Principal:
    """Return the principal that is simulated as the caller.

    Its tags and its unique id are known to the simulation only if the caller of the operation may read them: a
    simulated condition would disclose them. Other principals are simulated by their names alone, as those that do not
    exist.
    """
    arn = request.caller_arn
    if arn is None:
        return default
    named = _arn(arn)
    own = named.account == context.caller.account
    found = context.backends.snapshot.principals.named(arn, may_wait=context.may_wait) if own else None
    if found is not None and _may_read(context, request, found.principal):
        return found.principal
    kind = named.resource_type
    if kind == "root":
        return account_root(named.account, partition=named.partition)
    return iam_user(arn) if kind == "user" else assumed_role(arn, "simulated")


def _may_read(context: Context, request: SimulationRequest, principal: Principal) -> bool:
    if principal == context.caller or principal.kind is PrincipalKind.ACCOUNT_ROOT:
        return True
    action = "iam:GetUser" if principal.kind is PrincipalKind.USER else "iam:GetRole"
    described = Target(action, principal.issuer_arn or principal.arn, tags=tuple(principal.tags.items()))
    return would_allow(context, described, request)


def _arn(text: str) -> arns.Arn:
    arn = arns.parse_arn(text)
    if arn is None:
        raise InvalidInputException(f"{text[:64]} is not an ARN.")
    return arn
