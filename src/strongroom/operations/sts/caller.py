"""GetCallerIdentity, GetSessionToken and GetAccessKeyInfo."""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta

from strongroom.crypto.access_keys import account_in_id
from strongroom.errors import AccessDeniedException, ValidationException
from strongroom.iam import PrincipalKind
from strongroom.operations.context import Context
from strongroom.operations.shapes import Request, Response, matching
from strongroom.operations.sts.session_tokens import issue
from strongroom.operations.sts.sessions import blank
from strongroom.operations.sts.shapes import Credentials, MinimumTokenSize
from strongroom.operations.targets import Target

_USER_SECONDS = 43_200
_ROOT_SECONDS = 3_600


class GetCallerIdentityRequest(Request):
    """The request of GetCallerIdentity, which has no parameters."""


class GetCallerIdentityResponse(Response):
    """The response of GetCallerIdentity."""

    user_id: str
    account: str
    arn: str


class GetSessionTokenRequest(Request):
    """The request of GetSessionToken."""

    duration_seconds: Annotated[int, Meta(ge=900, le=129600)] | None = None
    serial_number: Annotated[str, Meta(min_length=9, max_length=256), matching(r"[\w+=/:,.@-]*")] | None = None
    token_code: Annotated[str, Meta(min_length=6, max_length=6), matching(r"[\d]*")] | None = None
    minimum_session_token_size: MinimumTokenSize | None = None


class GetSessionTokenResponse(Response):
    """The response of GetSessionToken."""

    credentials: Credentials


class GetAccessKeyInfoRequest(Request):
    """The request of GetAccessKeyInfo."""

    access_key_id: Annotated[str, Meta(min_length=16, max_length=128), matching(r"[\w]*")]


class GetAccessKeyInfoResponse(Response):
    """The response of GetAccessKeyInfo."""

    account: str


def no_permission(_context: Context, _request: Request) -> Sequence[Target]:
    """Return no targets: every caller with credentials may do this, whatever policies say, as on AWS."""
    return ()


def get_caller_identity(context: Context, _request: GetCallerIdentityRequest) -> GetCallerIdentityResponse:
    """Return account, ARN and user id of the caller."""
    caller = context.caller
    return GetCallerIdentityResponse(user_id=caller.user_id or caller.arn, account=caller.account, arn=caller.arn)


def get_session_token(context: Context, request: GetSessionTokenRequest) -> GetSessionTokenResponse:
    """Return temporary credentials for the user, or the root, that calls."""
    caller = context.caller
    if context.credential.session is not None or caller.kind not in {PrincipalKind.USER, PrincipalKind.ACCOUNT_ROOT}:
        raise AccessDeniedException("Cannot call GetSessionToken with session credentials")
    if request.serial_number is not None:
        raise AccessDeniedException("MultiFactorAuthentication failed, there are no MFA devices here.")
    is_root = caller.kind is PrincipalKind.ACCOUNT_ROOT
    seconds = min(request.duration_seconds or _USER_SECONDS, _ROOT_SECONDS if is_root else 129_600)
    session = blank(caller.account, caller.partition, unique_id="" if is_root else caller.user_id)
    return GetSessionTokenResponse(credentials=issue(context, session, seconds, request.minimum_session_token_size))


def get_access_key_info(context: Context, request: GetAccessKeyInfoRequest) -> GetAccessKeyInfoResponse:
    """Return the account of an access key; raises ValidationException for an unknown one.

    Temporary keys are not stored. Their ids name an account, also after they have expired.
    """
    with context.read() as reader:
        record = reader.access_key(request.access_key_id)
        account = None if record is None else record.account
        if record is None and request.access_key_id.startswith("ASIA"):
            named = account_in_id(request.access_key_id)
            account = named if any(each.account == named for each in reader.accounts()) else None
    if not account:
        raise ValidationException("Access key is not valid.")
    return GetAccessKeyInfoResponse(account=account)
