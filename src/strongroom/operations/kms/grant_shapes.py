"""The requests and responses of the operations on grants."""

from typing import Annotated

import msgspec
from msgspec import Meta
from typing_extensions import override

from strongroom.keys.encryption_context import require_size
from strongroom.keys.grants import Constraints, GrantOperation
from strongroom.operations.condition_parameters import ConditionParameters, GrantParameters
from strongroom.operations.shapes import (
    EncryptionContext,
    KeyId,
    Limit,
    Marker,
    Request,
    RequestWithGrantTokens,
    Response,
    at_most,
    matching,
)

PrincipalId = Annotated[str, Meta(min_length=1, max_length=256), matching(r"^[\w+=,.@:/-]+$")]
ServicePrincipal = Annotated[
    str,
    Meta(min_length=1, max_length=128),
    matching(r"^([A-Za-z0-9\-]+)\.([A-Za-z0-9\-]+)(\.[A-Za-z0-9\-]+)+$"),
]
GrantName = Annotated[str, Meta(min_length=1, max_length=256), matching(r"^[a-zA-Z0-9:/_-]+$")]
GrantId = Annotated[str, Meta(min_length=1, max_length=128)]
SourceArn = Annotated[
    str,
    Meta(min_length=20, max_length=512),
    matching(r"^arn:aws[a-z0-9-]*:[a-z0-9-]+:[a-z0-9-]*:[0-9]{12}:.+$"),
]


class GrantConstraints(msgspec.Struct, rename="pascal", frozen=True, omit_defaults=True):
    """When a grant applies."""

    encryption_context_subset: EncryptionContext | None = None
    encryption_context_equals: EncryptionContext | None = None
    source_arn: SourceArn | None = None

    def terms(self) -> Constraints:
        """Return the constraints as they are kept; raises ValidationException for contexts that are too large."""
        equals, subset = self.encryption_context_equals, self.encryption_context_subset
        require_size(equals)
        require_size(subset)
        # Terraform always sends both, one of them empty. AWS takes the other.
        if subset and not equals:
            equals = None
        elif not subset and equals is not None:
            subset = None
        return Constraints(equals, subset, self.source_arn)


class CreateGrantRequest(RequestWithGrantTokens):
    """The request of CreateGrant."""

    key_id: KeyId
    operations: Annotated[list[GrantOperation], at_most(100)]
    grantee_principal: PrincipalId | None = None
    retiring_principal: PrincipalId | None = None
    constraints: GrantConstraints | None = None
    name: GrantName | None = None
    dry_run: bool | None = None
    grantee_service_principal: ServicePrincipal | None = None
    retiring_service_principal: ServicePrincipal | None = None

    @override
    def condition_parameters(self, action: str) -> ConditionParameters:
        return ConditionParameters(
            grant=GrantParameters(
                operations=self.operations,
                grantee_principal=self.grantee_principal,
                grantee_service_principal=self.grantee_service_principal,
                retiring_principal=self.retiring_principal,
                retiring_service_principal=self.retiring_service_principal,
                constraints=self.constraints,
            )
        )


class CreateGrantResponse(Response):
    """The response of CreateGrant."""

    grant_token: str
    grant_id: str


class ListGrantsRequest(Request):
    """The request of ListGrants."""

    key_id: KeyId
    limit: Limit | None = None
    marker: Marker | None = None
    grant_id: GrantId | None = None
    grantee_principal: PrincipalId | None = None
    grantee_service_principal: ServicePrincipal | None = None


class GrantListEntry(msgspec.Struct, rename="pascal", frozen=True, kw_only=True):
    """A grant in a list."""

    key_id: str
    grant_id: str
    name: str
    creation_date: float
    grantee_principal: str | msgspec.UnsetType = msgspec.UNSET
    grantee_service_principal: str | msgspec.UnsetType = msgspec.UNSET
    retiring_principal: str | msgspec.UnsetType = msgspec.UNSET
    retiring_service_principal: str | msgspec.UnsetType = msgspec.UNSET
    issuing_account: str
    operations: Annotated[list[GrantOperation], at_most(100)]
    constraints: GrantConstraints | msgspec.UnsetType = msgspec.UNSET


class ListGrantsResponse(Response):
    """The response of ListGrants and ListRetirableGrants."""

    grants: list[GrantListEntry]
    truncated: bool
    next_marker: str | None = None


class ListRetirableGrantsRequest(Request):
    """The request of ListRetirableGrants; exactly one of the two principals is set."""

    limit: Limit | None = None
    marker: Marker | None = None
    retiring_principal: PrincipalId | None = None
    retiring_service_principal: ServicePrincipal | None = None


class RetireGrantRequest(Request):
    """The request of RetireGrant; it names the grant by its token, or by key ARN and grant id."""

    grant_token: Annotated[str, Meta(min_length=1, max_length=8192)] | None = None
    key_id: KeyId | None = None
    grant_id: GrantId | None = None
    dry_run: bool | None = None


class RevokeGrantRequest(Request):
    """The request of RevokeGrant."""

    key_id: KeyId
    grant_id: GrantId
    dry_run: bool | None = None
