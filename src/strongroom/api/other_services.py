"""Calls that are meant for a service which is not served here: the refusal says so, in a form their client can read.

A client ends here with them when its one endpoint setting holds for all services.
"""

from msgspec.structs import replace

from strongroom.api.aws_json import AwsJson
from strongroom.api.aws_query import AwsQuery, escaped
from strongroom.api.reply import Reply
from strongroom.api.sigv4 import signed_service
from strongroom.errors import UnknownOperationException

TARGET_PREFIX = "TrentService"
_SERVED = frozenset({"kms", "iam", "sts"})
_XML_SERVICES = frozenset({"s3", "s3express", "s3-outposts", "route53", "cloudfront"})
"""Services whose clients read errors as XML though they send no form."""
_MAX_NAME = 64


def why_not_served(headers: dict[str, str]) -> str | None:
    """Return a sentence that names the service of a request; None if it is one of those served here, or unknown."""
    service = signed_service(headers)
    if service is not None and service not in _SERVED:
        return f"This endpoint serves kms, iam and sts; the request is signed for '{service[:_MAX_NAME]}'."
    target = headers.get("x-amz-target", "").rpartition(".")[0]
    if target and target != TARGET_PREFIX:
        return f"This endpoint serves kms, iam and sts; the X-Amz-Target is of '{target[:_MAX_NAME]}'."
    return None


def query_refusal(headers: dict[str, str], request_id: str, wire: AwsQuery) -> Reply | None:
    """Return the refusal of a form whose action is not known here and that was signed for another service."""
    why = why_not_served(headers)
    if why is None:
        return None
    if signed_service(headers) == "ec2":
        return _for_ec2(why, request_id)
    return wire.reply(UnknownOperationException(why), request_id)


def refusal(headers: dict[str, str], request_id: str) -> Reply | None:
    """Return the refusal of a request to another service that is no call of this one by its method, path or type."""
    why = why_not_served(headers)
    if why is None:
        return None
    error = UnknownOperationException(why)
    if signed_service(headers) in _XML_SERVICES:
        return replace(AwsQuery("sts").reply(error, request_id), status=404)
    reply = AwsJson().reply(error, request_id)
    return reply if "x-amz-target" in headers else replace(reply, status=404)


def _for_ec2(why: str, request_id: str) -> Reply:
    body = (
        f"<Response><Errors><Error><Code>InvalidAction</Code><Message>{escaped(why)}</Message></Error></Errors>"
        f"<RequestID>{request_id}</RequestID></Response>\n"
    )
    return Reply(400, body.encode(), "text/xml", request_id)
