"""Presigned URLs: the signature of a request in its query, so that anyone who gets the URL can send the request.

One call is accepted this way, GetCallerIdentity: its answer tells a third party who made the URL, and that is how
programs log in elsewhere, such as at Kubernetes. Source: AWS General Reference, "Add the signature to the query
string".
"""

import re
from typing import NamedTuple
from urllib.parse import unquote

from msgspec.structs import replace

from strongroom.api.signature_refusals import MISMATCH, TIMESTAMP, bad_date
from strongroom.api.sigv4 import Claim, Verified, Verifier, parse_unsigned_part, require_signed
from strongroom.errors import IncompleteSignatureException, InvalidSignatureException
from strongroom.http.message import HttpRequest

PRESIGNED = "GetCallerIdentity"
_ALGORITHM = "AWS4-HMAC-SHA256"
_REQUIRED = ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date")
_SIGNATURE = "X-Amz-Signature"
_SIGNATURE_TEXT = re.compile(r"[0-9a-f]{64}")
_TOKEN = "X-Amz-Security-Token"  # noqa: S105 - the name of a parameter
_MAX_FIELDS = 50
_MAX_AGE = 900.0
"""Seconds for which a presigned URL is good, whatever its X-Amz-Expires says.

AWS STS ignores X-Amz-Expires: clients send 60 or 0 and rely on a quarter of an hour (aws-iam-authenticator,
pkg/token/token.go).
"""


class PresignedCall(NamedTuple):
    """A request with a signature in its query: its action and API version, and the session token if there is one."""

    action: str
    version: str
    token: str | None


def presigned_call(request: HttpRequest) -> PresignedCall | None:
    """Return the call that a presigned URL makes; None if the request is no such URL."""
    if request.path != "/" or request.method not in {"GET", "POST"} or f"{_SIGNATURE}=" not in request.query:
        return None
    fields = _fields(request.query)
    if fields is None or _SIGNATURE not in fields:
        return None
    return PresignedCall(fields.get("Action", ""), fields.get("Version", ""), fields.get(_TOKEN))


def verify_presigned(
    verifier: Verifier, request: HttpRequest, service: str, now: float, *, may_wait: bool = True
) -> Verified:
    """Return the caller that presigned the request; raises what ``Verifier.verify`` raises."""
    fields = _fields(request.query) or {}
    missing = [f"AWS query-string parameters must include '{name}'. " for name in _REQUIRED if not fields.get(name)]
    if missing:
        raise IncompleteSignatureException("".join(missing) + "Re-examine the query-string parameters.")
    if "authorization" in request.headers:
        raise IncompleteSignatureException("Only one of the Authorization header and X-Amz-Signature is allowed.")
    timestamp = fields["X-Amz-Date"]
    if not TIMESTAMP.fullmatch(timestamp):
        raise bad_date(timestamp)
    credential, signed_headers = fields["X-Amz-Credential"], fields["X-Amz-SignedHeaders"]
    authorization = parse_unsigned_part(
        f"{_ALGORITHM} Credential={credential}, SignedHeaders={signed_headers}, Signature="
    )
    if authorization is None or fields["X-Amz-Algorithm"] != _ALGORITHM:
        raise IncompleteSignatureException(
            f"The query-string parameters X-Amz-Algorithm={fields['X-Amz-Algorithm']}, X-Amz-Credential={credential} "
            f"and X-Amz-SignedHeaders={signed_headers} are no signature of this kind."
        )
    require_signed(authorization, request.headers)
    if not _SIGNATURE_TEXT.fullmatch(fields[_SIGNATURE]):
        raise InvalidSignatureException(MISMATCH)
    claim = Claim(authorization, fields[_SIGNATURE], timestamp, fields.get(_TOKEN))
    unsigned = "&".join(each for each in request.query.split("&") if _name(each) != _SIGNATURE)
    max_age = max(_MAX_AGE, verifier.skew)
    without = replace(request, query=unsigned)
    return verifier.verify_claim(claim, without, service, now, max_age=max_age, may_wait=may_wait)[0]


def _fields(query: str) -> dict[str, str] | None:
    """Return the fields of a query; None if there are too many, or one is given twice."""
    pairs = query.split("&")
    if len(pairs) > _MAX_FIELDS:
        return None
    fields = {_name(pair): unquote(pair.partition("=")[2]) for pair in pairs}
    return fields if len(fields) == len(pairs) else None


def _name(pair: str) -> str:
    return unquote(pair.partition("=")[0])
