"""The condition keys of KMS, and the global ones that make sense here: where their values come from.

Source: Service Authorization Reference, "Condition keys for AWS Key Management Service"; IAM User Guide, "AWS global
condition context keys". Nothing is computed until a policy asks. Keys of the principal are the policy engine's own.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from strongroom.audit.cloudtrail import event_time
from strongroom.clock import DAY
from strongroom.keys.grants import Constraints
from strongroom.keys.multi_region import MultiRegionKeyType
from strongroom.keys.specs import KeySpec, KeyUsage
from strongroom.operations.context import Context
from strongroom.operations.recipient import attested_value
from strongroom.operations.shapes import Request
from strongroom.operations.targets import Target

Values = tuple[str, ...] | None

BOUNDARY_KEY = "iam:permissionsboundary"


class Circumstances(msgspec.Struct, frozen=True):
    """What a policy can ask about: the call, its request, and the target being decided on among all of them."""

    context: Context
    request: Request
    target: Target
    targets: Sequence[Target]

    def read(self, name: str) -> Values:
        """Return the values of a condition key, by its lower-case name; None if the call does not carry it."""
        reader = _KEYS.get(name)
        if reader is not None:
            return reader(self)
        prefix, separator, rest = _split(name)
        family = _FAMILIES.get(prefix + separator)
        return self.target.claims.get(name) if family is None else family(self, rest)

    def field(self, name: str) -> Any:  # noqa: ANN401 - requests differ
        """Return a field of the request, None if it has none of that name."""
        return getattr(self.request, name, None)

    def encryption_context(self) -> Mapping[str, str]:
        """Return the encryption context of the target's half of the call: for CreateGrant, the one it constrains."""
        if self.target.retired is not None:
            constraints = self.target.retired.constraints
            return constraints.context_equals or constraints.context_subset or {}
        if self.target.action == "kms:CreateGrant":
            constraints = self.grant_constraints()
            return constraints.context_equals or constraints.context_subset or {}
        found: Mapping[str, str] | None = self.field(_CONTEXTS.get(self.target.action, "encryption_context"))
        return found or {}

    def grant_constraints(self) -> Constraints:
        """Return the constraints of the grant that is asked for."""
        asked = self.field("constraints")
        return Constraints() if asked is None else asked.terms()


_CONTEXTS = {"kms:ReEncryptFrom": "source_encryption_context", "kms:ReEncryptTo": "destination_encryption_context"}


def _split(name: str) -> tuple[str, str, str]:
    """Take ``aws:requesttag/team`` or ``kms:encryptioncontext:team`` apart."""
    for prefix in ("kms:encryptioncontext", "kms:recipientattestation"):
        if name.startswith(f"{prefix}:"):
            return prefix, ":", name.removeprefix(f"{prefix}:")
    return name.partition("/")


def _text(value: object) -> Values:
    return None if value is None else (str(value),)


def _flag(value: bool | None) -> Values:  # noqa: FBT001 - that is what it converts
    return None if value is None else ("true" if value else "false",)


# --- the key, existing or about to be


def _key_spec(here: Circumstances) -> Values:
    if here.target.subject is not None:
        return (here.target.subject.spec,)
    if here.target.action != "kms:CreateKey":
        return None
    return (here.field("key_spec") or here.field("customer_master_key_spec") or KeySpec.SYMMETRIC_DEFAULT,)


def _key_usage(here: Circumstances) -> Values:
    if here.target.subject is not None:
        return (here.target.subject.usage,)
    return (here.field("key_usage") or KeyUsage.ENCRYPT_DECRYPT,) if here.target.action == "kms:CreateKey" else None


def _key_origin(here: Circumstances) -> Values:
    return (here.target.subject.origin,) if here.target.subject is not None else _text(here.field("origin"))


def _trailing_days_without_use(here: Circumstances) -> Values:
    """Return for how many whole days a key has not been used; one that never was, since it was made."""
    if here.target.key is None or here.target.action not in {"kms:DisableKey", "kms:ScheduleKeyDeletion"}:
        return None
    key = here.target.key.key
    use = here.context.backends.key_uses.last(key.locator)
    return (str(int((here.context.now - (key.created_at if use is None else use.used_at)) // DAY)),)


def _multi_region(here: Circumstances) -> Values:
    if here.target.subject is not None:
        return _flag(here.target.subject.multi_region)
    return _flag(bool(here.field("multi_region"))) if here.target.action == "kms:CreateKey" else None


def _multi_region_key_type(here: Circumstances) -> Values:
    if _multi_region(here) != ("true",):
        return None
    replica = here.target.subject is not None and here.target.subject.is_replica
    return (MultiRegionKeyType.REPLICA if replica else MultiRegionKeyType.PRIMARY,)


def _replica_region(here: Circumstances) -> Values:
    # Not for the CreateKey and TagResource that come with it.
    return _text(here.field("replica_region")) if here.target.action == "kms:ReplicateKey" else None


def _resource_aliases(here: Circumstances) -> Values:
    return None if here.target.key is None else here.target.key.key.aliases


def _resource_account(here: Circumstances) -> Values:
    """Return the account in the resource's ARN; where no resource is named, the caller's own."""
    fields = here.target.resource.split(":", 5)
    named = len(fields) == len(("arn", "partition", "service", "region", "account", "resource"))
    return _text((fields[4] if named else here.context.caller.account) or None)


def _resource_tag(here: Circumstances, name: str) -> Values:
    return _first(here.target.tags, name)


# --- the request


def _encryption_context_pair(here: Circumstances, name: str) -> Values:
    # Keys differ by case in a context, but not in the name of a condition key: every match counts.
    return tuple(value for key, value in here.encryption_context().items() if key.lower() == name) or None


def _encryption_algorithm(here: Circumstances) -> Values:
    names = {"kms:ReEncryptFrom": "source_encryption_algorithm", "kms:ReEncryptTo": "destination_encryption_algorithm"}
    if here.target.action.startswith("kms:GenerateDataKey"):
        return ("SYMMETRIC_DEFAULT",)
    return _text(here.field(names.get(here.target.action, "encryption_algorithm")))


def _recipient_attestation(here: Circumstances, name: str) -> Values:
    attested = here.context.attested
    return None if attested is None else _text(attested_value(attested, name))


def _re_encrypt_on_same_key(here: Circumstances) -> Values:
    if not here.target.action.startswith("kms:ReEncrypt") or len(here.targets) == 1:
        return None
    source, destination = here.targets
    return _flag(source.resource == destination.resource)


def _request_tag_keys(here: Circumstances) -> Values:
    removed: list[str] | None = here.field("tag_keys")
    return tuple(removed) if removed is not None else tuple(key for key, _ in _request_tags(here)) or None


def _request_tags(here: Circumstances) -> list[tuple[str, str]]:
    return [tag.pair for tag in here.field("tags") or ()]


def _grant_constraint_type(here: Circumstances) -> Values:
    if here.target.action not in {"kms:CreateGrant", "kms:RetireGrant"}:
        return None
    constraints = here.grant_constraints() if here.target.retired is None else here.target.retired.constraints
    if constraints.context_equals is not None:
        return ("EncryptionContextEquals",)
    return None if constraints.context_subset is None else ("EncryptionContextSubset",)


def _of_grant(field: str) -> Callable[[Circumstances], Values]:
    """Return the reader of a parameter that only CreateGrant's policies can ask about."""
    return lambda here: _text(here.field(field)) if here.target.action == "kms:CreateGrant" else None


def _grant_operations(here: Circumstances) -> Values:
    return tuple(map(str, here.field("operations") or ())) if here.target.action == "kms:CreateGrant" else None


def _message_type(here: Circumstances) -> Values:
    if here.target.action not in {"kms:Sign", "kms:Verify"}:
        return None
    return (str(here.field("message_type") or "RAW"),)


# --- the caller and its way here


def _requested_region(here: Circumstances) -> Values:
    # Some calls reach into a second Region: what they do there counts as asked for there.
    return (here.context.region if here.target.subject is None else here.target.subject.region,)


def _token_issue_time(here: Circumstances) -> Values:
    issued_at = here.context.credential.issued_at
    return None if issued_at is None else (event_time(issued_at),)


def _multi_factor(here: Circumstances) -> Values:
    # Only temporary credentials carry the key, and there are no second factors here.
    return None if here.context.credential.issued_at is None else ("false",)


def _permissions_boundary(here: Circumstances) -> Values:
    """Return the boundary that a call sets, or else the one that the user or role it is about has."""
    return _text(here.field("permissions_boundary")) or here.target.claims.get(BOUNDARY_KEY)


def _via_service(here: Circumstances) -> Values:
    name = here.context.origin.via_service
    if name is None:
        return None
    return (f"{name.partition('.')[0]}.{here.context.region}.amazonaws.com",)


def _first(pairs: Sequence[tuple[str, str]], name: str) -> Values:
    return next(((value,) for key, value in pairs if key.lower() == name), None)


_KEYS: dict[str, Callable[[Circumstances], Values]] = {
    "aws:calledvia": lambda here: _text(here.context.origin.via_service),
    "aws:currenttime": lambda here: (event_time(here.context.now),),
    "aws:epochtime": lambda here: (str(int(here.context.now)),),
    "aws:requestedregion": _requested_region,
    "aws:multifactorauthpresent": _multi_factor,
    "aws:resourceaccount": _resource_account,
    "aws:securetransport": lambda here: _flag(here.context.origin.secure),
    "aws:sourceaccount": lambda here: _text(here.context.origin.source_account),
    "aws:sourcearn": lambda here: _text(here.context.origin.source_arn),
    "aws:sourceidentity": lambda here: _text(here.context.credential.source_identity),
    "aws:sourceip": lambda here: (here.context.origin.source_ip,),
    "aws:tagkeys": _request_tag_keys,
    "aws:tokenissuetime": _token_issue_time,
    "aws:viaawsservice": lambda here: _flag(here.context.origin.via_service is not None),
    BOUNDARY_KEY: _permissions_boundary,
    "iam:policyarn": lambda here: _text(here.field("policy_arn")),
    "kms:bypasspolicylockoutsafetycheck": lambda here: _flag(here.field("bypass_policy_lockout_safety_check")),
    "kms:calleraccount": lambda here: _text(here.context.caller.account or None),
    "kms:customermasterkeyspec": _key_spec,
    "kms:customermasterkeyusage": _key_usage,
    "kms:encryptionalgorithm": _encryption_algorithm,
    "kms:encryptioncontextkeys": lambda here: tuple(here.encryption_context()) or None,
    "kms:datakeypairspec": lambda here: _text(here.field("key_pair_spec")),
    "kms:expirationmodel": lambda here: _text(here.field("expiration_model")),
    "kms:grantconstraintsourcearn": lambda here: _text(here.grant_constraints().source_arn),
    "kms:grantconstrainttype": _grant_constraint_type,
    "kms:granteeprincipal": _of_grant("grantee_principal"),
    "kms:granteeserviceprincipal": _of_grant("grantee_service_principal"),
    "kms:grantisforawsresource": lambda here: _flag(here.context.origin.via_service is not None),
    "kms:grantoperations": _grant_operations,
    "kms:keyagreementalgorithm": lambda here: _text(here.field("key_agreement_algorithm")),
    "kms:keyorigin": _key_origin,
    "kms:keyspec": _key_spec,
    "kms:keyusage": _key_usage,
    "kms:macalgorithm": lambda here: _text(here.field("mac_algorithm")),
    "kms:messagetype": _message_type,
    "kms:multiregion": _multi_region,
    "kms:multiregionkeytype": _multi_region_key_type,
    "kms:policyname": lambda here: _text(here.field("policy_name")),
    "kms:primaryregion": lambda here: _text(here.field("primary_region")),
    "kms:reencryptonsamekey": _re_encrypt_on_same_key,
    "kms:replicaregion": _replica_region,
    "kms:requestalias": lambda here: _text(here.target.alias),
    "kms:resourcealiases": _resource_aliases,
    "kms:retiringprincipal": _of_grant("retiring_principal"),
    "kms:retiringserviceprincipal": _of_grant("retiring_service_principal"),
    "kms:rotationperiodindays": lambda here: _text(here.field("rotation_period_in_days")),
    "kms:schedulekeydeletionpendingwindowindays": lambda here: _text(here.field("pending_window_in_days")),
    "kms:signingalgorithm": lambda here: _text(here.field("signing_algorithm")),
    "kms:trailingdayswithoutkeyusage": _trailing_days_without_use,
    "kms:validto": lambda here: _text(here.field("valid_to")),
    "kms:viaservice": _via_service,
    "kms:wrappingalgorithm": lambda here: _text(here.field("wrapping_algorithm")),
    "kms:wrappingkeyspec": lambda here: _text(here.field("wrapping_key_spec")),
    "sts:externalid": lambda here: _text(here.field("external_id")),
    "sts:rolesessionname": lambda here: _text(here.field("role_session_name")),
    "sts:sourceidentity": lambda here: _text(here.field("source_identity")),
}

_FAMILIES: dict[str, Callable[[Circumstances, str], Values]] = {
    "aws:requesttag/": lambda here, name: _first(_request_tags(here), name),
    "aws:resourcetag/": _resource_tag,
    "iam:resourcetag/": _resource_tag,
    "kms:encryptioncontext:": _encryption_context_pair,
    "kms:recipientattestation:": _recipient_attestation,
}
