"""CreateGrant, ListGrants, ListRetirableGrants, RetireGrant and RevokeGrant."""

from collections.abc import Mapping, Sequence

import msgspec

from strongroom.errors import (
    DryRunOperationException,
    InvalidArnException,
    InvalidGrantIdException,
    LimitExceededException,
    NotFoundException,
    ValidationException,
)
from strongroom.iam import PrincipalKind
from strongroom.keys.arns import KeyIdForms, KeyLocator, root_arn
from strongroom.keys.grants import MAX_GRANTS, Constraints, Grant, GrantOperation, Party, operations_of, pairs
from strongroom.keys.kms_key import KmsKey
from strongroom.keys.specs import KeySpec
from strongroom.operations import grant_tokens
from strongroom.operations.context import Context
from strongroom.operations.kms.grant_shapes import (
    CreateGrantRequest,
    CreateGrantResponse,
    GrantConstraints,
    GrantListEntry,
    ListGrantsRequest,
    ListGrantsResponse,
    ListRetirableGrantsRequest,
    RetireGrantRequest,
    RevokeGrantRequest,
)
from strongroom.operations.kms.key_changes import latest
from strongroom.operations.named_principals import (
    UnknownPrincipal,
    account_of,
    current_names,
    is_unique_id,
    party,
    service_party,
)
from strongroom.operations.paging import PageSize, page
from strongroom.operations.shapes import (
    Empty,
)
from strongroom.operations.targets import Target
from strongroom.snapshot.active_key import ActiveKey
from strongroom.store.protocol import Reader
from strongroom.store.records import GrantFilter

_PAGE = PageSize(default=50, maximum=100)
_MAX_PAIRS = 8
_MAX_VALUE = 384
_GRANT_ID_BYTES = 32


def create_grant(context: Context, request: CreateGrantRequest, active: ActiveKey) -> CreateGrantResponse:
    """Make a grant; the same request with the same name again returns the same grant under a new token."""
    _require_terms(request, active.key)
    with context.backends.store.transaction() as transaction:
        key = latest(context, transaction, active)
        grant = Grant(
            grant_id=context.backends.entropy(_GRANT_ID_BYTES).hex(),
            account=key.account,
            region=key.region,
            key_id=key.key_id,
            grantee=_party(transaction, request.grantee_principal, request.grantee_service_principal),
            retiring=_retiring(transaction, request),
            operations=tuple(dict.fromkeys(request.operations)),
            constraints=Constraints() if request.constraints is None else request.constraints.terms(),
            name=request.name or "",
            issuing_account=context.caller.account or key.account,
            created_at=context.now,
        )
        named = transaction.grants_named(key.locator, grant.name) if grant.name else []
        same = next((each for each in named if each.same_terms(grant)), None)
        if same is not None:
            grant = same
        elif transaction.count_grants(key.locator) >= MAX_GRANTS:
            raise LimitExceededException(f"A key can have at most {MAX_GRANTS} grants.")
        elif not request.dry_run:
            transaction.add_grant(grant)
        if request.dry_run:
            raise DryRunOperationException
    token = grant_tokens.issue(context.backends.vault, grant_tokens.GrantToken(grant.locator, grant.grant_id))
    return CreateGrantResponse(grant_token=token, grant_id=grant.grant_id)


def create_grant_elements(response: CreateGrantResponse, targets: Sequence[Target]) -> Mapping[str, object]:
    """Return what the audit record shows: never the token."""
    return {"grantId": response.grant_id, "keyId": targets[0].resource}


def list_grants(context: Context, request: ListGrantsRequest, active: ActiveKey) -> ListGrantsResponse:
    """List a key's grants."""
    asked = page(f"ListGrants {active.key.key_id}", request.limit, request.marker, _PAGE)
    with context.backends.store.read() as reader:
        which = GrantFilter(request.grant_id, _filter_name(reader, request))
        if request.grant_id is not None and reader.grant(active.key.locator, request.grant_id) is None:
            raise InvalidGrantIdException(f"Grant ID {request.grant_id} not found")
        found = reader.grants(active.key.locator, which, asked.after, asked.size + 1)
        kept, marker = asked.cut(found, lambda grant: grant.grant_id)
        entries = [_entry(reader, grant) for grant in kept]
    return ListGrantsResponse(grants=entries, truncated=marker is not None, next_marker=marker)


def list_retirable_grants(context: Context, request: ListRetirableGrantsRequest) -> ListGrantsResponse:
    """List the grants in this Region, on whosever keys, that a principal may retire."""
    principal, service = request.retiring_principal, request.retiring_service_principal
    if (principal is None) == (service is None):
        raise ValidationException("You must specify exactly one of RetiringPrincipal and RetiringServicePrincipal.")
    if service is not None and context.caller.kind is not PrincipalKind.SERVICE:
        raise ValidationException("Only services can list the grants that a service may retire.")
    asked = page(f"ListRetirableGrants {principal or service}"[:512], request.limit, request.marker, _PAGE)
    with context.backends.store.read() as reader:
        retiring = _party(reader, principal, service)
        if principal is not None and account_of(reader, retiring) != context.caller.account:
            raise _invalid(principal)
        found = reader.retirable_grants(context.region, retiring.name, asked.after, asked.size + 1)
        kept, marker = asked.cut(found, lambda grant: f"{grant.grant_id}/{grant.key_id}")
        entries = [_entry(reader, grant) for grant in kept]
    return ListGrantsResponse(grants=entries, truncated=marker is not None, next_marker=marker)


def locate_retire_grant(context: Context, request: RetireGrantRequest) -> Sequence[Target]:
    """Find the grant, by its token or by its key and id: the grant itself says who may retire it."""
    if request.grant_token is not None:
        if request.key_id is not None or request.grant_id is not None:
            raise ValidationException("You must specify either a grant token or a key ARN and grant ID, not both.")
        token = grant_tokens.read(context.backends.vault, request.grant_token)
        if token.locator.region != context.region:
            raise NotFoundException(f"Invalid arn {token.locator.region}")
        active, grant_id = context.find(token.locator.arn, KeyIdForms.KEY_ONLY), token.grant_id
    elif request.key_id is None or request.grant_id is None:
        raise ValidationException("You must specify a grant token, or a key ARN and a grant ID.")
    else:
        active, grant_id = context.find(request.key_id, KeyIdForms.KEY_ONLY), request.grant_id
    key = active.key
    with context.backends.store.read() as reader:
        grant = reader.grant(key.locator, grant_id)
    if grant is None:
        raise _no_grant(grant_id) if key.account == context.caller.account else context.missing(key.locator)
    return (Target("kms:RetireGrant", key.arn, active, policy=active.policy, tags=key.tags, retired=grant),)


def retire_grant(context: Context, request: RetireGrantRequest, active: ActiveKey) -> Empty:
    """End a grant, as whoever was granted it, or was named to retire it."""
    token = request.grant_token
    grant_id = request.grant_id or "" if token is None else grant_tokens.read(context.backends.vault, token).grant_id
    _end(context, active.key.locator, grant_id, dry_run=bool(request.dry_run))
    return Empty()


def revoke_grant(context: Context, request: RevokeGrantRequest, active: ActiveKey) -> Empty:
    """End a grant, as the key's administrator: once this has answered, nobody uses it."""
    _end(context, active.key.locator, request.grant_id, dry_run=bool(request.dry_run))
    return Empty()


def _end(context: Context, locator: KeyLocator, grant_id: str, *, dry_run: bool) -> None:
    with context.backends.store.transaction() as transaction:
        grant = _required(transaction, locator, grant_id)
        if dry_run:
            raise DryRunOperationException
        transaction.remove_grant(grant)


def _required(reader: Reader, locator: KeyLocator, grant_id: str) -> Grant:
    grant = reader.grant(locator, grant_id)
    if grant is None:
        raise _no_grant(grant_id)
    return grant


def _no_grant(grant_id: str) -> NotFoundException:
    return NotFoundException(f"Grant ID {grant_id} not found")


def _require_terms(request: CreateGrantRequest, key: KmsKey) -> None:
    """Refuse a grant that means nothing, or could not be used on this key; raises ValidationException."""
    if (request.grantee_principal is None) == (request.grantee_service_principal is None):
        raise ValidationException("You must specify exactly one of GranteePrincipal and GranteeServicePrincipal.")
    if request.retiring_principal is not None and request.retiring_service_principal is not None:
        raise ValidationException("You cannot specify both RetiringPrincipal and RetiringServicePrincipal.")
    if not request.operations:
        raise ValidationException("Grants must contain at least one operation.")
    if set(request.operations) == {GrantOperation.CREATE_GRANT}:
        raise ValidationException("Grants must not contain only the CreateGrant operation.")
    unfit = sorted(set(request.operations) - operations_of(key))
    if unfit:
        raise ValidationException(
            f"Grant operations [{', '.join(unfit)}] are not valid for a key of KeySpec {key.spec} "
            f"and KeyUsage {key.usage}."
        )
    _require_constraints(request, key)


def _require_constraints(request: CreateGrantRequest, key: KmsKey) -> None:
    asked = request.constraints or GrantConstraints()
    if request.grantee_service_principal is not None and asked.source_arn is None:
        raise ValidationException("Grants to service principals require the SourceArn constraint.")
    retiring = request.retiring_principal or request.retiring_service_principal
    if request.grantee_service_principal is not None and retiring is None:
        raise ValidationException("Grants to service principals require a retiring principal.")
    if asked.encryption_context_equals is not None and asked.encryption_context_subset is not None:
        raise ValidationException("More than one constraint supplied")
    context = asked.encryption_context_equals or asked.encryption_context_subset or {}
    if context and key.spec is not KeySpec.SYMMETRIC_DEFAULT:
        raise ValidationException("Encryption context constraints are only valid for symmetric encryption keys.")
    if len(context) > _MAX_PAIRS or any(len(value) > _MAX_VALUE for value in context.values()):
        raise ValidationException(
            f"An encryption context constraint can have at most {_MAX_PAIRS} pairs of at most {_MAX_VALUE} characters."
        )
    if len(pairs(context)) != len({name.lower() for name in context}):
        raise ValidationException("An encryption context constraint names the same key twice.")


def _party(reader: Reader, principal: str | None, service: str | None) -> Party:
    if service is not None:
        return service_party(service)
    try:
        return party(reader, principal or "")
    except UnknownPrincipal:
        raise _invalid(principal) from None


def _invalid(principal: str | None) -> InvalidArnException:
    return InvalidArnException(f"ARN does not refer to a valid principal: {principal}")


def _sought(reader: Reader, principal: str | None, service: str | None) -> str:
    """Return the name to look for; a unique id may be that of a user or role that is gone."""
    if principal is not None and is_unique_id(principal):
        return principal
    return _party(reader, principal, service).name


def _retiring(reader: Reader, request: CreateGrantRequest) -> Party | None:
    if request.retiring_principal is None and request.retiring_service_principal is None:
        return None
    return _party(reader, request.retiring_principal, request.retiring_service_principal)


def _filter_name(reader: Reader, request: ListGrantsRequest) -> str | None:
    if request.grantee_principal is not None and request.grantee_service_principal is not None:
        raise ValidationException("You cannot specify both GranteePrincipal and GranteeServicePrincipal.")
    if request.grantee_principal is None and request.grantee_service_principal is None:
        return None
    return _sought(reader, request.grantee_principal, request.grantee_service_principal)


def _entry(reader: Reader, grant: Grant) -> GrantListEntry:
    grantee, retiring = grant.grantee, grant.retiring
    constraints = GrantConstraints(
        None if grant.constraints.context_subset is None else dict(grant.constraints.context_subset),
        None if grant.constraints.context_equals is None else dict(grant.constraints.context_equals),
        grant.constraints.source_arn,
    )
    return GrantListEntry(
        key_id=grant.locator.arn,
        grant_id=grant.grant_id,
        name=grant.name,
        creation_date=grant.created_at,
        grantee_principal=msgspec.UNSET if grantee.service else _shown(reader, grantee),
        grantee_service_principal=grantee.shown if grantee.service else msgspec.UNSET,
        retiring_principal=msgspec.UNSET if retiring is None or retiring.service else _shown(reader, retiring),
        retiring_service_principal=retiring.shown if retiring is not None and retiring.service else msgspec.UNSET,
        issuing_account=root_arn(grant.region, grant.issuing_account),
        operations=list(grant.operations),
        constraints=msgspec.UNSET if constraints == GrantConstraints() else constraints,
    )


def _shown(reader: Reader, named: Party) -> str:
    """Return a principal under the name it has now; by its unique id if it is gone."""
    if not is_unique_id(named.name):
        return named.shown
    return current_names(reader, [(named.shown, named.name)]).get(named.shown, named.shown)
