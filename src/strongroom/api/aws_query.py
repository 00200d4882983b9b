"""The AWS Query protocol, spoken by IAM and STS: form fields in, XML out, or JSON where the client prefers it.

Source: Smithy 1.0 specification, "AWS query protocol". Lists are ``Name.member.1``, structures ``Name.Member``. The
JSON has the names of the XML, and times in epoch seconds; AWS does not document it, and clients that ask for it exist
(aws-iam-authenticator, pkg/token/token.go).
"""

import re
from base64 import b64encode
from collections.abc import Iterator
from urllib.parse import parse_qsl, unquote_plus
from xml.sax.saxutils import escape

import msgspec
from msgspec import inspect

from strongroom.api.reply import Reply
from strongroom.audit.cloudtrail import event_time
from strongroom.errors import (
    AccessDeniedException,
    DependencyTimeoutException,
    ExpiredSessionException,
    IncompleteSignatureException,
    InvalidMarkerException,
    InvalidSignatureException,
    KmsError,
    KMSInternalException,
    LimitExceededException,
    MalformedPolicyDocumentException,
    MissingAuthenticationTokenException,
    RequestEntityTooLargeException,
    SerializationException,
    ThrottlingException,
    UnknownOperationException,
    UnrecognizedClientException,
    ValidationException,
)
from strongroom.operations.operation import Operation
from strongroom.operations.shapes import Empty, Request, Response
from strongroom.operations.validation import convert, without_none

FORM = "application/x-www-form-urlencoded"
VERSIONS = {"iam": "2010-05-08", "sts": "2011-06-15"}
_XML = "text/xml"
_JSON = "application/json"
_MAX_FIELDS = 5_000
_MAX_SHORT = 256
_MAX_DEPTH = 8
_MAX_MEMBERS = 1_000
_INDEX = re.compile(r"[1-9][0-9]{0,3}")
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")

_CODES: dict[type[KmsError], tuple[str, int]] = {
    AccessDeniedException: ("AccessDenied", 403),
    DependencyTimeoutException: ("ServiceFailure", 500),
    ExpiredSessionException: ("ExpiredToken", 403),
    IncompleteSignatureException: ("IncompleteSignature", 403),
    InvalidMarkerException: ("ValidationError", 400),
    InvalidSignatureException: ("SignatureDoesNotMatch", 403),
    KMSInternalException: ("ServiceFailure", 500),
    LimitExceededException: ("LimitExceeded", 409),
    MalformedPolicyDocumentException: ("MalformedPolicyDocument", 400),
    MissingAuthenticationTokenException: ("MissingAuthenticationToken", 403),
    RequestEntityTooLargeException: ("RequestEntityTooLarge", 413),
    SerializationException: ("MalformedInput", 400),
    ThrottlingException: ("Throttling", 400),
    UnknownOperationException: ("InvalidAction", 400),
    UnrecognizedClientException: ("InvalidClientTokenId", 403),
    ValidationException: ("ValidationError", 400),
}

_encoder = msgspec.json.Encoder()

Fields = dict[str, object]
"""A tree of form fields: text at the leaves."""


class AwsQuery:
    """Reads and writes the Query protocol of one service.

    ``action`` is the name in the response's element. ``as_json`` has replies written in JSON.
    """

    def __init__(self, service: str, action: str = "", *, as_json: bool = False) -> None:
        self._namespace = f"https://{service}.amazonaws.com/doc/{VERSIONS[service]}/"
        self._action = action
        self._as_json = as_json

    def decode(self, operation: Operation, body: bytes) -> Request:
        """Return the request in ``body``; raises SerializationException or ValidationException."""
        fields = form_fields(body)
        request = convert(operation.request, _shaped(_tree(fields), inspect.type_info(operation.request)))
        for name, value in fields:
            if _CONTROLS.search(value):
                raise ValidationException(f"The value of {name[:64]} has characters that no answer could repeat.")
        return request

    def reply(self, result: Response | KmsError, request_id: str, operation: Operation | None = None) -> Reply:
        """Return the reply with a response or an error; ``operation`` is None if the request names none."""
        if isinstance(result, KmsError):
            status, refusal = self._error(result, request_id)
            return Reply(status, refusal, self._content_type, request_id, operation, self, result.code)
        return Reply(200, self._answer(result, request_id), self._content_type, request_id, operation, self)

    @property
    def _content_type(self) -> str:
        return _JSON if self._as_json else _XML

    def _answer(self, response: Response, request_id: str) -> bytes:
        name = self._action
        if self._as_json:
            plain = {} if isinstance(response, Empty) else {f"{name}Result": _json_value(response)}
            return _encoder.encode({f"{name}Response": plain | {"ResponseMetadata": {"RequestId": request_id}}})
        result = "" if isinstance(response, Empty) else f"<{name}Result>{''.join(_members(response))}</{name}Result>"
        return (
            f'<{name}Response xmlns="{self._namespace}">{result}'
            f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{name}Response>\n"
        ).encode()

    def _error(self, error: KmsError, request_id: str) -> tuple[int, bytes]:
        kinds = (kind for kind in type(error).__mro__ if kind in _CODES)
        code, status = _CODES.get(next(kinds, KmsError), (error.code, error.status))
        kind = "Sender" if status < KMSInternalException.status else "Receiver"
        if self._as_json:
            shown = {"Code": code, "Message": error.message or code, "Type": kind}
            return status, _encoder.encode({"Error": shown, "RequestId": request_id})
        message = escaped(error.message or code)
        return status, (
            f'<ErrorResponse xmlns="{self._namespace}">'
            f"<Error><Type>{kind}</Type><Code>{code}</Code><Message>{message}</Message></Error>"
            f"<RequestId>{request_id}</RequestId></ErrorResponse>\n"
        ).encode()


def wants_json(headers: dict[str, str]) -> bool:
    """Tell whether a client prefers JSON: it is the first media type that the client accepts."""
    return headers.get("accept", "").partition(",")[0].partition(";")[0].strip().lower() == _JSON


def form_field(body: bytes, name: bytes) -> str | None:
    """Return the beginning of a field's value, None if it is not given. Names are not decoded.

    It takes two searches and no decoding, because the signature has not been verified by then and a body has up to a
    megabyte.
    """
    given = name + b"="
    at = 0 if body.startswith(given) else body.find(b"&" + given) + 1
    if not body.startswith(given, at):
        return None
    start = at + len(given)
    value, _, _ = body[start : start + _MAX_SHORT].partition(b"&")
    return unquote_plus(value.decode("latin-1"), errors="replace")


def form_fields(body: bytes) -> list[tuple[str, str]]:
    """Return the fields of a form; raises SerializationException if the body is no form, or has too many fields."""
    try:
        return parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict")
    except ValueError:
        raise SerializationException("The request could not be read as a form.") from None


def _tree(fields: list[tuple[str, str]]) -> Fields:
    """Return the fields as a tree: ``Tags.member.1.Key`` → ``{"Tags": {"member": {"1": {"Key": …}}}}``."""
    root: Fields = {}
    for name, value in fields:
        *parents, leaf = name.split(".")
        if len(parents) > _MAX_DEPTH:
            raise SerializationException(f"The field {name[:64]} is nested too deeply.")
        node = root
        for parent in parents:
            child = node.setdefault(parent, {})
            if not isinstance(child, dict):
                raise SerializationException(f"The field {name[:64]} contradicts another.")
            node = child
        if leaf in node:
            raise SerializationException(f"The field {name[:64]} is given twice.")
        node[leaf] = value
    return root


def _shaped(value: object, declared: inspect.Type) -> object:
    """Turn a tree of fields into what the declared type would be as JSON."""
    plain = without_none(declared)
    match plain:
        case inspect.StructType():
            known = {field.encode_name: field.type for field in plain.fields}
            if not isinstance(value, dict):
                return value
            return {name: _shaped(member, known[name]) for name, member in value.items() if name in known}
        case inspect.ListType():
            return _listed(value, plain.item_type)
        case inspect.IntType() | inspect.BoolType():
            return _scalar(value, plain)
        case _:
            return value


def _listed(value: object, item: inspect.Type) -> object:
    # An empty list is sent as the bare name of the list.
    if value == "":
        return []
    members = value.get("member") if isinstance(value, dict) else None
    if not isinstance(members, dict) or not all(_INDEX.fullmatch(index) for index in members):
        raise SerializationException("A list is not given as Name.member.N.")
    if len(members) > _MAX_MEMBERS:
        raise SerializationException("A list has too many members.")
    return [_shaped(members[index], item) for index in sorted(members, key=int)]


def _scalar(value: object, declared: inspect.Type) -> object:
    if not isinstance(value, str):
        return value
    if isinstance(declared, inspect.BoolType):
        return {"true": True, "false": False}.get(value.lower(), value)
    return int(value) if re.fullmatch(r"-?[0-9]{1,18}", value) else value


# --- writing


def _members(value: msgspec.Struct) -> Iterator[str]:
    for field in msgspec.structs.fields(value):
        # Any field of any response type: the names are those the type itself declares.
        member: object = getattr(value, field.name)
        if member is not None:
            yield _element(field.encode_name, member)


def _element(name: str, value: object) -> str:
    return f"<{name}>{_content(value)}</{name}>"


def _content(value: object) -> str:
    match value:
        case msgspec.Struct():
            return "".join(_members(value))
        case list() | tuple():
            return "".join(_element("member", each) for each in value)
        case dict():
            entries = (_element("key", key) + _element("value", member) for key, member in value.items())
            return "".join(f"<entry>{entry}</entry>" for entry in entries)
        case _:
            return _plain(value)


def _plain(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case bytes():
            return b64encode(value).decode()
        case float():
            # Every number with a fraction is a time.
            return event_time(value)
        case _:
            return escaped(str(value))


def _json_value(value: object) -> object:
    """Return what JSON has for a value: the members that XML has, under their names."""
    match value:
        case msgspec.Struct():
            # As for XML, the names are those the type itself declares.
            members = ((field.encode_name, getattr(value, field.name)) for field in msgspec.structs.fields(value))
            return {name: _json_value(member) for name, member in members if member is not None}
        case list() | tuple():
            return [_json_value(each) for each in value]
        case dict():
            return {str(key): _json_value(member) for key, member in value.items()}
        case _:
            return value


def escaped(value: str) -> str:
    """Return text as the content of an XML element."""
    # XML 1.0 has no way to write most control characters.
    return escape(_CONTROLS.sub("\ufffd", value), {'"': "&quot;", "\r": "&#xD;"})
