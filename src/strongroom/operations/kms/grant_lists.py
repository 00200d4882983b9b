"""ListGrants and ListRetirableGrants."""

import msgspec

from strongroom.errors import InvalidGrantIdException, ValidationException
from strongroom.iam import PrincipalKind
from strongroom.keys.arns import root_arn
from strongroom.keys.grants import Grant, Party
from strongroom.operations.context import Context
from strongroom.operations.kms.grant_shapes import (
    GrantConstraints,
    GrantListEntry,
    ListGrantsRequest,
    ListGrantsResponse,
    ListRetirableGrantsRequest,
)
from strongroom.operations.kms.grants import invalid_principal, party_of
from strongroom.operations.named_principals import account_of, current_names, is_unique_id
from strongroom.operations.paging import PageSize, page
from strongroom.snapshot.active_key import ActiveKey
from strongroom.store.records import GrantFilter
from strongroom.store.subjects.identities import IdentityReader

_PAGE = PageSize(default=50, maximum=100)


def list_grants(context: Context, request: ListGrantsRequest, active: ActiveKey) -> ListGrantsResponse:
    """List a key's grants."""
    asked = page(f"ListGrants {active.key.key_id}", request.limit, request.marker, _PAGE)
    with context.read() as reader:
        which = GrantFilter(request.grant_id, _filter_name(context, reader, request))
        if request.grant_id is not None and reader.grant(active.key.locator, request.grant_id) is None:
            raise InvalidGrantIdException(f"Grant ID {request.grant_id} not found")
        found = reader.grants(active.key.locator, which, asked.after, asked.size + 1)
        kept, marker = asked.cut(found, lambda grant: grant.grant_id)
        entries = [_entry(reader, grant) for grant in kept]
    return ListGrantsResponse(grants=entries, truncated=marker is not None, next_marker=marker)


def list_retirable_grants(context: Context, request: ListRetirableGrantsRequest) -> ListGrantsResponse:
    """List the grants in this Region, on keys of any account, that a principal may retire."""
    principal, service = request.retiring_principal, request.retiring_service_principal
    if (principal is None) == (service is None):
        raise ValidationException("You must specify exactly one of RetiringPrincipal and RetiringServicePrincipal.")
    _require_service(context, service, "Only services can list the grants that a service may retire.")
    asked = page(f"ListRetirableGrants {principal or service}"[:512], request.limit, request.marker, _PAGE)
    with context.read() as reader:
        retiring = party_of(reader, principal, service, context.region, by_id=True)
        if principal is not None and account_of(reader, retiring) != context.caller.account:
            raise invalid_principal(principal)
        found = reader.retirable_grants(context.region, retiring.name, asked.after, asked.size + 1)
        kept, marker = asked.cut(found, lambda grant: f"{grant.grant_id}/{grant.key_id}")
        entries = [_entry(reader, grant) for grant in kept]
    return ListGrantsResponse(grants=entries, truncated=marker is not None, next_marker=marker)


def _name_to_find(reader: IdentityReader, principal: str | None, service: str | None, region: str) -> str:
    """Return the name to search for. A unique id may be that of a deleted user or role."""
    if principal is not None and is_unique_id(principal):
        return principal
    return party_of(reader, principal, service, region).name


def _require_service(context: Context, service: str | None, message: str) -> None:
    """Refuse to search by a service principal for callers that are none; raises ValidationException.

    Source: KMS API Reference, ListGrants and ListRetirableGrants: "only usable by callers in a service principal".
    """
    if service is not None and context.caller.kind is not PrincipalKind.SERVICE:
        raise ValidationException(message)


def _filter_name(context: Context, reader: IdentityReader, request: ListGrantsRequest) -> str | None:
    if request.grantee_principal is not None and request.grantee_service_principal is not None:
        raise ValidationException("You cannot specify both GranteePrincipal and GranteeServicePrincipal.")
    if request.grantee_principal is None and request.grantee_service_principal is None:
        return None
    service = request.grantee_service_principal
    _require_service(context, service, "Only services can list the grants of which a service is the grantee.")
    return _name_to_find(reader, request.grantee_principal, service, context.region)


def _entry(reader: IdentityReader, grant: Grant) -> GrantListEntry:
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
        grantee_principal=msgspec.UNSET if grantee.service else _current_name(reader, grantee),
        grantee_service_principal=grantee.shown if grantee.service else msgspec.UNSET,
        retiring_principal=msgspec.UNSET if retiring is None or retiring.service else _current_name(reader, retiring),
        retiring_service_principal=retiring.shown if retiring is not None and retiring.service else msgspec.UNSET,
        issuing_account=root_arn(grant.region, grant.issuing_account),
        operations=list(grant.operations),
        constraints=msgspec.UNSET if constraints == GrantConstraints() else constraints,
    )


def _current_name(reader: IdentityReader, named: Party) -> str:
    """Return the current ARN of a principal, or its unique id if it was deleted."""
    if not is_unique_id(named.name):
        return named.shown
    return current_names(reader, [(named.shown, named.name)]).get(named.shown, named.shown)
