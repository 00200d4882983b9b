"""The condition keys of KMS, IAM and STS and the global ones, and where their values come from.

Source: Service Authorization Reference, "Actions, resources, and condition keys"; IAM User Guide, "AWS global
condition context keys". A value is computed when a policy asks for it. The policy engine itself has the keys that
describe the principal (``iam/principals.py``).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from strongroom.arns import parse_arn
from strongroom.audit.cloudtrail import event_time
from strongroom.clock import DAY
from strongroom.iam import AmbiguousConditionKey
from strongroom.keys.grants import Constraints
from strongroom.keys.multi_region import MultiRegionKeyType
from strongroom.keys.names import folded
from strongroom.keys.specs import KeySpec, KeyUsage
from strongroom.operations.condition_key_actions import BOUNDARY_KEY, IAM_RESOURCE_TAG, exists_for
from strongroom.operations.condition_parameters import ConditionParameters, GrantParameters
from strongroom.operations.context import Context
from strongroom.operations.named_principals import shown_name
from strongroom.operations.recipient import attested_value
from strongroom.operations.shapes import Request
from strongroom.operations.targets import Target

Values = tuple[str, ...] | None


class DecisionContext(msgspec.Struct):
    """What a policy can ask about for one decision: the call, its request, and one of the call's targets.

    ``target`` is the one that is decided on. Made for one decision and used by one thread.
    """

    call: Context
    request: Request
    target: Target
    targets: Sequence[Target]
    _parameters: ConditionParameters | None = None
    _context: Mapping[str, str] | None = None
    _folded: dict[str, Mapping[str, set[str]]] = {}
    _constraints: Constraints | None = None

    def read(self, name: str) -> Values:
        """Return the values of a condition key, by its lower-case name; None if the call does not carry it.

        A service's own keys exist for its own actions only. Raises AmbiguousConditionKey for a tag, or a pair of the
        encryption context, of which there are two with different values whose keys differ only by case.
        """
        if not exists_for(name, self.target.action):
            return None
        reader = _KEYS.get(name)
        if reader is not None:
            return reader(self)
        prefix, separator, rest = _split(name)
        family = _FAMILIES.get(prefix + separator)
        return self.target.claims.get(name) if family is None else family(self, rest)

    @property
    def parameters(self) -> ConditionParameters:
        """What the request carries for conditions; collected when a condition first asks."""
        if self._parameters is None:
            self._parameters = self.request.condition_parameters(self.target.action)
        return self._parameters

    def encryption_context(self) -> Mapping[str, str]:
        """Return the encryption context that the target's action works with; empty if there is none.

        Where a grant is made or retired, it is the context that the grant's constraints require.
        """
        if self._context is None:
            self._context = self._find_context()
        return self._context

    def only(self, family: str, pairs: Callable[[], Iterable[tuple[str, str]]], name: str) -> Values:
        """Return the value of the pair with a name, whatever its case; raises AmbiguousConditionKey for two values.

        The pairs of a ``family`` of condition keys are read once: a policy can have a thousand conditions on them.
        """
        values = self._folded.get(family)
        if values is None:
            values = self._folded[family] = _by_folded_name(pairs())
        found = values.get(folded(name), ())
        if len(found) > 1:
            raise AmbiguousConditionKey(name)
        return tuple(found) or None

    def _find_context(self) -> Mapping[str, str]:
        if self.target.retired is not None:
            return _required_context(self.target.retired.constraints)
        if self.target.action == "kms:CreateGrant":
            return _required_context(self.grant_constraints())
        return self.request.encryption_context_for(self.target.action) or {}

    def grant_constraints(self) -> Constraints:
        """Return the constraints of the requested grant; raises ValidationException if they are too large."""
        if self._constraints is None:
            grant = self.parameters.grant
            asked = None if grant is None else grant.constraints
            self._constraints = Constraints() if asked is None else asked.terms()
        return self._constraints


def _required_context(constraints: Constraints) -> Mapping[str, str]:
    return constraints.context_equals or constraints.context_subset or {}


def _split(name: str) -> tuple[str, str, str]:
    """Return the parts of ``aws:requesttag/team`` or ``kms:encryptioncontext:team``: prefix, separator, rest."""
    for prefix in ("kms:encryptioncontext", "kms:recipientattestation"):
        if name.startswith(f"{prefix}:"):
            return prefix, ":", name.removeprefix(f"{prefix}:")
    return name.partition("/")


def _text(value: object) -> Values:
    return None if value is None else (str(value),)


def _flag(value: bool | None) -> Values:  # noqa: FBT001 - that is what it converts
    return None if value is None else ("true" if value else "false",)


# --- the key that exists, or that the call would make


def _key_spec(context: DecisionContext) -> Values:
    if context.target.subject is not None:
        return (context.target.subject.spec,)
    if context.target.action != "kms:CreateKey":
        return None
    return (context.parameters.key_spec or KeySpec.SYMMETRIC_DEFAULT,)


def _key_usage(context: DecisionContext) -> Values:
    if context.target.subject is not None:
        return (context.target.subject.usage,)
    return (
        (context.parameters.key_usage or KeyUsage.ENCRYPT_DECRYPT,)
        if context.target.action == "kms:CreateKey"
        else None
    )


def _key_origin(context: DecisionContext) -> Values:
    return (
        (context.target.subject.origin,) if context.target.subject is not None else _text(context.parameters.key_origin)
    )


def _trailing_days_without_use(context: DecisionContext) -> Values:
    """Return for how many whole days a key was not used, since it was made if it never was."""
    if context.target.key is None or context.target.action not in {"kms:DisableKey", "kms:ScheduleKeyDeletion"}:
        return None
    key = context.target.key.key
    use = context.call.backends.key_uses.last(key.locator)
    return (str(int((context.call.now - (key.created_at if use is None else use.used_at)) // DAY)),)


def _multi_region(context: DecisionContext) -> Values:
    if context.target.subject is not None:
        return _flag(context.target.subject.multi_region)
    return _flag(bool(context.parameters.multi_region)) if context.target.action == "kms:CreateKey" else None


def _multi_region_key_type(context: DecisionContext) -> Values:
    if _multi_region(context) != ("true",):
        return None
    replica = context.target.subject is not None and context.target.subject.is_replica
    return (MultiRegionKeyType.REPLICA if replica else MultiRegionKeyType.PRIMARY,)


def _replica_region(context: DecisionContext) -> Values:
    # ReplicateKey also needs kms:CreateKey and kms:TagResource; for these the key has no value.
    return _text(context.parameters.replica_region) if context.target.action == "kms:ReplicateKey" else None


def _resource_aliases(context: DecisionContext) -> Values:
    return None if context.target.key is None else context.target.key.key.aliases


def _resource_account(context: DecisionContext) -> Values:
    """Return the account in the resource's ARN; the caller's own where no resource is named."""
    arn = parse_arn(context.target.resource)
    return _text((context.call.caller.account if arn is None else arn.account) or None)


def _resource_tag(context: DecisionContext, name: str) -> Values:
    # Keys that differ only by case are refused now, but were not always.
    return context.only("resource tags", lambda: context.target.tags, name)


# --- the request


def _encryption_context_pair(context: DecisionContext, name: str) -> Values:
    # The keys of a context are case-sensitive, the names of condition keys are not.
    return context.only("encryption context", lambda: context.encryption_context().items(), name)


def _encryption_algorithm(context: DecisionContext) -> Values:
    if context.target.action.startswith("kms:GenerateDataKey"):
        return ("SYMMETRIC_DEFAULT",)
    return _text(context.parameters.encryption_algorithm)


def _recipient_attestation(context: DecisionContext, name: str) -> Values:
    attested = context.call.attested
    return None if attested is None else _text(attested_value(attested, name))


def _re_encrypt_on_same_key(context: DecisionContext) -> Values:
    if not context.target.action.startswith("kms:ReEncrypt") or len(context.targets) == 1:
        return None
    source, destination = context.targets
    return _flag(source.resource == destination.resource)


def _request_tag_keys(context: DecisionContext) -> Values:
    removed = context.parameters.tag_keys
    return tuple(removed) if removed is not None else tuple(key for key, _ in context.parameters.tags) or None


def _grant_constraint_type(context: DecisionContext) -> Values:
    if context.target.action not in {"kms:CreateGrant", "kms:RetireGrant"}:
        return None
    constraints = context.grant_constraints() if context.target.retired is None else context.target.retired.constraints
    if constraints.context_equals is not None:
        return ("EncryptionContextEquals",)
    return None if constraints.context_subset is None else ("EncryptionContextSubset",)


def _of_grant(read: Callable[[GrantParameters], str | None]) -> Callable[[DecisionContext], Values]:
    """Return the reader of a parameter that only CreateGrant's policies can ask about."""
    return lambda context: None if context.parameters.grant is None else _text(read(context.parameters.grant))


def _principal_of_grant(read: Callable[[GrantParameters], str | None]) -> Callable[[DecisionContext], Values]:
    """Return the reader of a principal of a grant: whatever name of an account was sent, conditions see one."""

    def named(context: DecisionContext) -> Values:
        principal = None if context.parameters.grant is None else read(context.parameters.grant)
        return None if principal is None else (shown_name(principal, context.call.region),)

    return named


def _grant_operations(context: DecisionContext) -> Values:
    grant = context.parameters.grant
    return None if grant is None else tuple(map(str, grant.operations))


def _message_type(context: DecisionContext) -> Values:
    if context.target.action not in {"kms:Sign", "kms:Verify"}:
        return None
    return (str(context.parameters.message_type or "RAW"),)


# --- the caller and the origin of the request


def _requested_region(context: DecisionContext) -> Values:
    # Some calls also act in a second Region; it is the requested one for what they do there.
    return (context.call.region if context.target.subject is None else context.target.subject.region,)


def _token_issue_time(context: DecisionContext) -> Values:
    issued_at = context.call.credential.issued_at
    return None if issued_at is None else (event_time(issued_at),)


def _multi_factor(context: DecisionContext) -> Values:
    # Only temporary credentials have the key. This service has no MFA devices.
    return None if context.call.credential.issued_at is None else ("false",)


def _permissions_boundary(context: DecisionContext) -> Values:
    """Return the boundary that the request sets, else that of the user or role that the target is.

    A boundary that a request sets takes the place of the present one, so it is what the policy asks about.
    """
    return _text(context.parameters.permissions_boundary) or context.target.claims.get(BOUNDARY_KEY)


def _via_service(context: DecisionContext) -> Values:
    name = context.call.origin.via_service
    if name is None:
        return None
    return (f"{name.partition('.')[0]}.{context.call.region}.amazonaws.com",)


def _by_folded_name(pairs: Iterable[tuple[str, str]]) -> Mapping[str, set[str]]:
    values: dict[str, set[str]] = {}
    for key, value in pairs:
        values.setdefault(folded(key), set()).add(value)
    return values


_KEYS: dict[str, Callable[[DecisionContext], Values]] = {
    "aws:calledvia": lambda context: _text(context.call.origin.via_service),
    "aws:currenttime": lambda context: (event_time(context.call.now),),
    "aws:epochtime": lambda context: (str(int(context.call.now)),),
    "aws:requestedregion": _requested_region,
    "aws:multifactorauthpresent": _multi_factor,
    "aws:resourceaccount": _resource_account,
    "aws:securetransport": lambda context: _flag(context.call.origin.secure),
    "aws:sourceaccount": lambda context: _text(context.call.origin.source_account),
    "aws:sourcearn": lambda context: _text(context.call.origin.source_arn),
    "aws:sourceidentity": lambda context: _text(context.call.credential.source_identity),
    "aws:sourceip": lambda context: (context.call.origin.source_ip,),
    "aws:tagkeys": _request_tag_keys,
    "aws:tokenissuetime": _token_issue_time,
    "aws:viaawsservice": lambda context: _flag(context.call.origin.via_service is not None),
    BOUNDARY_KEY: _permissions_boundary,
    "iam:policyarn": lambda context: _text(context.parameters.policy_arn),
    "kms:bypasspolicylockoutsafetycheck": lambda context: _flag(context.parameters.bypass_policy_lockout_safety_check),
    "kms:calleraccount": lambda context: _text(context.call.caller.account or None),
    "kms:customermasterkeyspec": _key_spec,
    "kms:customermasterkeyusage": _key_usage,
    "kms:encapsulationalgorithm": lambda context: _text(context.parameters.encapsulation_algorithm),
    "kms:encryptionalgorithm": _encryption_algorithm,
    "kms:encryptioncontextkeys": lambda context: tuple(context.encryption_context()) or None,
    "kms:datakeypairspec": lambda context: _text(context.parameters.data_key_pair_spec),
    "kms:expirationmodel": lambda context: _text(context.parameters.expiration_model),
    "kms:grantconstraintsourcearn": lambda context: _text(context.grant_constraints().source_arn),
    "kms:grantconstrainttype": _grant_constraint_type,
    "kms:granteeprincipal": _principal_of_grant(lambda grant: grant.grantee_principal),
    "kms:granteeserviceprincipal": _of_grant(lambda grant: grant.grantee_service_principal),
    "kms:grantisforawsresource": lambda context: _flag(context.call.origin.via_service is not None),
    "kms:grantoperations": _grant_operations,
    "kms:keyagreementalgorithm": lambda context: _text(context.parameters.key_agreement_algorithm),
    "kms:keyorigin": _key_origin,
    "kms:keyspec": _key_spec,
    "kms:keyusage": _key_usage,
    "kms:macalgorithm": lambda context: _text(context.parameters.mac_algorithm),
    "kms:messagetype": _message_type,
    "kms:multiregion": _multi_region,
    "kms:multiregionkeytype": _multi_region_key_type,
    "kms:policyname": lambda context: _text(context.parameters.policy_name),
    "kms:primaryregion": lambda context: _text(context.parameters.primary_region),
    "kms:reencryptonsamekey": _re_encrypt_on_same_key,
    "kms:replicaregion": _replica_region,
    "kms:requestalias": lambda context: _text(context.target.alias),
    "kms:resourcealiases": _resource_aliases,
    "kms:retiringprincipal": _principal_of_grant(lambda grant: grant.retiring_principal),
    "kms:retiringserviceprincipal": _of_grant(lambda grant: grant.retiring_service_principal),
    "kms:rotationperiodindays": lambda context: _text(context.parameters.rotation_period_in_days),
    "kms:schedulekeydeletionpendingwindowindays": lambda context: _text(context.parameters.pending_window_in_days),
    "kms:signingalgorithm": lambda context: _text(context.parameters.signing_algorithm),
    "kms:trailingdayswithoutkeyusage": _trailing_days_without_use,
    "kms:validto": lambda context: _text(context.parameters.valid_to),
    "kms:viaservice": _via_service,
    "kms:wrappingalgorithm": lambda context: _text(context.parameters.wrapping_algorithm),
    "kms:wrappingkeyspec": lambda context: _text(context.parameters.wrapping_key_spec),
    "sts:externalid": lambda context: _text(context.parameters.external_id),
    "sts:rolesessionname": lambda context: _text(context.parameters.role_session_name),
    "sts:sourceidentity": lambda context: _text(context.parameters.source_identity),
}

_FAMILIES: dict[str, Callable[[DecisionContext, str], Values]] = {
    "aws:requesttag/": lambda context, name: context.only("request tags", lambda: context.parameters.tags, name),
    "aws:resourcetag/": _resource_tag,
    IAM_RESOURCE_TAG: _resource_tag,
    "kms:encryptioncontext:": _encryption_context_pair,
    "kms:recipientattestation:": _recipient_attestation,
}
