"""CreateGrant, RetireGrant and RevokeGrant."""

from collections.abc import Mapping, Sequence

from strongroom.errors import (
    DryRunOperationException,
    InvalidArnException,
    LimitExceededException,
    NotFoundException,
    ValidationException,
)
from strongroom.keys.arns import KeyIdForms, KeyLocator
from strongroom.keys.grants import MAX_GRANTS, Constraints, Grant, GrantOperation, Party, operations_of, pairs
from strongroom.keys.kms_key import KmsKey
from strongroom.keys.specs import KeySpec
from strongroom.operations import grant_tokens
from strongroom.operations.context import Context
from strongroom.operations.kms.grant_shapes import (
    CreateGrantRequest,
    CreateGrantResponse,
    GrantConstraints,
    RetireGrantRequest,
    RevokeGrantRequest,
)
from strongroom.operations.kms.key_changes import latest
from strongroom.operations.named_principals import (
    UnknownPrincipal,
    party,
    service_party,
)
from strongroom.operations.shapes import (
    Empty,
)
from strongroom.operations.targets import Target
from strongroom.snapshot.active_key import ActiveKey
from strongroom.store.protocol import Transaction
from strongroom.store.scopes import KeyScope
from strongroom.store.subjects.grants import GrantReader
from strongroom.store.subjects.identities import IdentityReader

_MAX_PAIRS = 8
_MAX_VALUE = 384
_GRANT_ID_BYTES = 32


def create_grant(context: Context, request: CreateGrantRequest, active: ActiveKey) -> CreateGrantResponse:
    """Make a grant. A retry with the same name and terms returns the same grant with a new token."""
    require_terms(request, active.key)
    grant_id = context.backends.entropy(_GRANT_ID_BYTES).hex()

    def add(transaction: Transaction) -> Grant:
        key = latest(context, transaction, active)
        grant = Grant(
            grant_id=grant_id,
            account=key.account,
            region=key.region,
            key_id=key.key_id,
            grantee=party_of(transaction, request.grantee_principal, request.grantee_service_principal, key.region),
            retiring=retiring_party(transaction, request, key.region),
            operations=tuple(dict.fromkeys(request.operations)),
            constraints=Constraints() if request.constraints is None else request.constraints.terms(),
            name=request.name or "",
            issuing_account=context.caller.account or key.account,
            created_at=context.now,
        )
        named = transaction.grants_named(key.locator, grant.name) if grant.name else []
        same = next((each for each in named if each.same_terms(grant)), None)
        if request.dry_run:
            if same is None and transaction.count_grants(key.locator) >= MAX_GRANTS:
                raise _too_many_grants()
            raise DryRunOperationException
        if same is None and not transaction.add_grant(grant, MAX_GRANTS):
            raise _too_many_grants()
        return same or grant

    grant = context.backends.store.write(add, KeyScope(active.key.account, active.key.key_id))
    token = grant_tokens.issue(context.backends.secrets, grant_tokens.GrantToken(grant.locator, grant.grant_id))
    return CreateGrantResponse(grant_token=token, grant_id=grant.grant_id)


def create_grant_elements(response: CreateGrantResponse, targets: Sequence[Target]) -> Mapping[str, object]:
    """Return the elements of the audit record, without the token."""
    return {"grantId": response.grant_id, "keyId": targets[0].resource}


def locate_retire_grant(context: Context, request: RetireGrantRequest) -> Sequence[Target]:
    """Find the grant by its token, or by its key and id. The grant itself names the principals that may retire it."""
    if request.grant_token is not None:
        if request.key_id is not None or request.grant_id is not None:
            raise ValidationException("You must specify either a grant token or a key ARN and grant ID, not both.")
        token = grant_tokens.read(context.backends.secrets, request.grant_token)
        if token.locator.region != context.region:
            raise NotFoundException(f"Invalid arn {token.locator.region}")
        active, grant_id = context.find(token.locator.arn, KeyIdForms.KEY_ONLY), token.grant_id
    elif request.key_id is None or request.grant_id is None:
        raise ValidationException("You must specify a grant token, or a key ARN and a grant ID.")
    else:
        active, grant_id = context.find(request.key_id, KeyIdForms.KEY_ONLY), request.grant_id
    key = active.key
    with context.read() as reader:
        grant = reader.grant(key.locator, grant_id)
    if grant is None:
        raise _no_grant(grant_id) if key.account == context.caller.account else context.missing(key.locator)
    return (Target("kms:RetireGrant", key.arn, active, policy=active.policy, tags=key.tags, retired=grant),)


def retire_grant(context: Context, request: RetireGrantRequest, active: ActiveKey) -> Empty:
    """End a grant, as its grantee or its retiring principal."""
    token = request.grant_token
    grant_id = request.grant_id or "" if token is None else grant_tokens.read(context.backends.secrets, token).grant_id
    _end_grant(context, active.key.locator, grant_id, dry_run=bool(request.dry_run))
    return Empty()


def revoke_grant(context: Context, request: RevokeGrantRequest, active: ActiveKey) -> Empty:
    """End a grant, as the key's administrator; no call uses it after this has answered."""
    _end_grant(context, active.key.locator, request.grant_id, dry_run=bool(request.dry_run))
    return Empty()


def _end_grant(context: Context, locator: KeyLocator, grant_id: str, *, dry_run: bool) -> None:
    def remove(transaction: Transaction) -> None:
        grant = _required(transaction, locator, grant_id)
        if dry_run:
            raise DryRunOperationException
        transaction.remove_grant(grant)

    context.backends.store.write(remove, KeyScope(locator.account, locator.key_id))


def _too_many_grants() -> LimitExceededException:
    return LimitExceededException(f"A key can have at most {MAX_GRANTS} grants.")


def _required(reader: GrantReader, locator: KeyLocator, grant_id: str) -> Grant:
    grant = reader.grant(locator, grant_id)
    if grant is None:
        raise _no_grant(grant_id)
    return grant


def _no_grant(grant_id: str) -> NotFoundException:
    return NotFoundException(f"Grant ID {grant_id} not found")


def require_terms(request: CreateGrantRequest, key: KmsKey) -> None:
    """Refuse a grant whose terms are invalid for this key; raises ValidationException."""
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
    if asked.encryption_context_equals and asked.encryption_context_subset:
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


def party_of(
    reader: IdentityReader, principal: str | None, service: str | None, region: str, *, by_id: bool = False
) -> Party:
    """Return the principal of a request, or else its service principal; raises InvalidArnException.

    For ``region`` and ``by_id`` see ``named_principals.party``.
    """
    if service is not None:
        return service_party(service)
    try:
        return party(reader, principal or "", region, by_id=by_id)
    except UnknownPrincipal:
        raise invalid_principal(principal) from None


def invalid_principal(principal: str | None) -> InvalidArnException:
    """Return the refusal of a principal that does not exist, or that the caller may not name."""
    return InvalidArnException(f"ARN does not refer to a valid principal: {principal}")


def retiring_party(reader: IdentityReader, request: CreateGrantRequest, region: str) -> Party | None:
    """Return the retiring principal of a grant on a key of a Region; None without one; raises InvalidArnException."""
    if request.retiring_principal is None and request.retiring_service_principal is None:
        return None
    return party_of(reader, request.retiring_principal, request.retiring_service_principal, region)
