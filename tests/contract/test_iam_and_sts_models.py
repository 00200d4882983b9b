"""Every request, response and error of IAM and STS, compared with botocore's models and read by its parser.

Requests must have every member of the model, with its limits. Responses may lack members that are not required.
"""

import base64
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from botocore.parsers import QueryParser
from msgspec import inspect

from model_differences import differences, model_of, response_type, unwrapped
from strongroom import errors
from strongroom.api.aws_query import VERSIONS, AwsQuery
from strongroom.errors import ExpiredSessionException, KmsError, KMSInternalException
from strongroom.operations.iam.table import IAM_TABLE
from strongroom.operations.operation import Operation
from strongroom.operations.shapes import Empty
from strongroom.operations.sts.table import STS_TABLE, UNSIGNED

MODELS = {service: model_of(service) for service in VERSIONS}
ROWS = {f"{row.service}:{name}": row for table in (IAM_TABLE, STS_TABLE) for name, row in table.items()}
HARD_TEXT = " <a href='x'>&amp;\"]]>\t\r\n\x85\u2028é😀 "
BLOB = base64.b64encode(bytes(range(256))).decode()
REQUEST_ID = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"

NEVER_HAPPENS = {
    # Changes are serialized, and take effect before they are answered.
    "ConcurrentModificationException",
    "EntityTemporarilyUnmodifiableException",
    # The service has none of the AWS managed policies that cannot be attached.
    "PolicyNotAttachableException",
    "PolicyEvaluationException",
    # Making a provider asks its issuer nothing.
    "OpenIdIdpCommunicationErrorException",
    "RegionDisabledException",
    # A report is complete when GenerateCredentialReport has answered.
    "CredentialReportNotReadyException",
    # No user has credentials for one service, so it does not matter which services support them.
    "ServiceNotSupportedException",
}
OTHERWISE_NAMED: dict[str, type[KmsError]] = {"ServiceFailureException": KMSInternalException}


def model_operation(row: Operation) -> Any:
    return MODELS[row.service].operation_model(row.name)


def parsed(row: Operation, result: Any) -> Any:
    """Write a response or an error as XML, and return what botocore's parser reads."""
    reply = AwsQuery(row.service, row.name).reply(result, REQUEST_ID)
    response = {"status_code": reply.status, "headers": {}, "body": reply.body}
    return QueryParser().parse(response, model_operation(row).output_shape)


# --- types


@pytest.mark.parametrize("service", VERSIONS)
def test_protocol_version_and_namespace_match_the_model(service: str) -> None:
    metadata = MODELS[service].metadata
    assert metadata["protocol"] == "query"
    assert metadata["apiVersion"] == VERSIONS[service]
    table = IAM_TABLE if service == "iam" else STS_TABLE
    assert table.keys() <= set(MODELS[service].operation_names)
    reply = AwsQuery(service, "GetUser").reply(Empty(), REQUEST_ID)
    assert reply.body.startswith(f'<GetUserResponse xmlns="{metadata["xmlNamespace"]}">'.encode())


def test_every_operation_that_is_missing_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "divergences.md").read_text(encoding="utf-8")
    section = page.partition("## Operations of IAM and STS that are missing\n")[2].partition("\n## ")[0]
    (_, _, *rows) = [line for line in section.splitlines() if line.startswith("|")]
    listed = [name for row in rows for name in re.findall(r"\w+", row.split("|")[2])]
    of_the_models = {name for model in MODELS.values() for name in model.operation_names}
    assert sorted(listed) == sorted(of_the_models - IAM_TABLE.keys() - STS_TABLE.keys())


def test_the_unsigned_operations_are_those_of_the_model() -> None:
    unsigned = {row.name for row in ROWS.values() if model_operation(row).auth_type == "none"}
    assert unsigned == UNSIGNED


@pytest.mark.parametrize("name", ROWS)
def test_a_request_type_matches_the_model(name: str) -> None:
    row = ROWS[name]
    declared, shape = inspect.type_info(row.request), model_operation(row).input_shape
    if shape is None:
        assert msgspec.structs.fields(row.request) == ()
    else:
        assert list(differences(declared, shape, row.name, whole=True)) == []


@pytest.mark.parametrize("name", ROWS)
def test_a_response_type_matches_the_model(name: str) -> None:
    row = ROWS[name]
    declared, shape = response_type(row), model_operation(row).output_shape
    if shape is None:
        assert declared is Empty
    else:
        assert declared is not Empty
        assert list(differences(inspect.type_info(declared), shape, row.name, whole=False)) == []


@pytest.mark.parametrize("name", ROWS)
def test_no_shape_in_use_has_its_own_xml_serialization(name: str) -> None:
    """The XML writer supports only member names, ``member``, ``entry``, ``key`` and ``value``."""
    operation = model_operation(ROWS[name])
    if operation.output_shape is not None:
        assert operation.output_shape.serialization == {"resultWrapper": f"{operation.name}Result"}
    for shape in (operation.input_shape, operation.output_shape):
        for each in inner_shapes(shape, set()) if shape is not None else ():
            assert each.serialization == {}, each.name
            assert each.type_name in {"structure", "list", "map", "string", "integer", "boolean", "timestamp", "blob"}


def inner_shapes(shape: Any, seen: set[str]) -> Iterator[Any]:
    """Yield every shape nested in a shape, each once."""
    below: list[Any] = []
    if shape.type_name == "structure":
        below = list(shape.members.values())
    elif shape.type_name == "list":
        below = [shape.member]
    elif shape.type_name == "map":
        below = [shape.key, shape.value]
    for each in below:
        if each.name not in seen:
            seen.add(each.name)
            yield each
            yield from inner_shapes(each, seen)


# --- responses


@pytest.mark.parametrize("name", ROWS)
def test_a_response_with_all_members_is_read_back(name: str) -> None:
    row = ROWS[name]
    raw = sample(inspect.type_info(response_type(row)))
    answer = parsed(row, msgspec.convert(raw, response_type(row)))
    assert answer.pop("ResponseMetadata") == {"RequestId": REQUEST_ID, "HTTPStatusCode": 200, "HTTPHeaders": {}}
    assert answer == as_read(raw)


@pytest.mark.parametrize("name", ROWS)
def test_a_response_with_empty_members_is_read_back(name: str) -> None:
    row = ROWS[name]
    raw = sample(inspect.type_info(response_type(row)), sparse=True)
    answer = parsed(row, msgspec.convert(raw, response_type(row)))
    del answer["ResponseMetadata"]
    assert answer == as_read(raw)


def sample(declared: inspect.Type, *, sparse: bool = False) -> Any:
    """Return a value of a declared type, as JSON has it; ``sparse``: empty or None wherever allowed."""
    if sparse and isinstance(declared, inspect.UnionType):
        return None
    plain = unwrapped(declared)[0]
    match plain:
        case inspect.StructType():
            return {field.encode_name: sample(field.type, sparse=sparse) for field in plain.fields}
        case inspect.ListType():
            return [] if sparse else [sample(plain.item_type)] * 2
        case inspect.DictType():
            return {} if sparse else {name: sample(plain.value_type) for name in ("Users", "a < b & c")}
        case inspect.StrType():
            # Tags are the only strings of a response with a pattern.
            return "" if sparse else "a+b" if plain.pattern else HARD_TEXT
        case _:
            return scalar(plain)


def scalar(plain: inspect.Type) -> Any:
    if isinstance(plain, inspect.EnumType):
        return next(iter(plain.cls)).value
    samples = {inspect.FloatType: 1_790_000_000.0, inspect.IntType: 7, inspect.BoolType: True, inspect.BytesType: BLOB}
    return samples[type(plain)]


def as_read(raw: Any) -> Any:
    """Return a sample as botocore parses it; times are the only floats, ``BLOB`` stands for bytes."""
    if raw == BLOB:
        return base64.b64decode(BLOB)
    if isinstance(raw, dict):
        return {name: as_read(value) for name, value in raw.items() if value is not None}
    if isinstance(raw, list):
        return [as_read(value) for value in raw]
    return datetime.fromtimestamp(raw, UTC) if isinstance(raw, float) else raw


# --- errors


@pytest.mark.parametrize("name", ROWS)
def test_declared_errors_have_their_code_and_status(name: str) -> None:
    row = ROWS[name]
    for shape in model_operation(row).error_shapes:
        known = OTHERWISE_NAMED.get(shape.name, getattr(errors, shape.name, None))
        if known is None:
            assert shape.name in NEVER_HAPPENS
            continue
        answer, modelled = parsed(row, known("why <not>")), shape.metadata["error"]
        assert answer["Error"]["Code"] == modelled["code"]
        assert answer["Error"]["Message"] == "why <not>"
        assert answer["Error"]["Type"] == ("Sender" if modelled.get("senderFault") else "Receiver")
        assert answer["ResponseMetadata"] == {
            "RequestId": REQUEST_ID,
            "HTTPStatusCode": modelled["httpStatusCode"],
            "HTTPHeaders": {},
        }


COMMON_ERRORS = {
    # IAM API Reference and STS API Reference, "Common Errors", and the codes the front ends answer with.
    errors.AccessDeniedException: ("AccessDenied", 403),
    errors.IncompleteSignatureException: ("IncompleteSignature", 403),
    errors.InvalidSignatureException: ("SignatureDoesNotMatch", 403),
    errors.UnknownOperationException: ("InvalidAction", 400),
    errors.UnrecognizedClientException: ("InvalidClientTokenId", 403),
    errors.MissingAuthenticationTokenException: ("MissingAuthenticationToken", 403),
    errors.ExpiredSessionException: ("ExpiredToken", 403),
    errors.ThrottlingException: ("Throttling", 400),
    errors.ValidationException: ("ValidationError", 400),
}


@pytest.mark.parametrize("known", COMMON_ERRORS, ids=lambda known: known.__name__)
def test_common_errors_have_their_code_and_status(known: type[KmsError]) -> None:
    answer = parsed(STS_TABLE["GetCallerIdentity"], known("why"))
    assert (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]) == COMMON_ERRORS[known]


def test_a_session_and_a_web_identity_token_expire_under_different_codes() -> None:
    row = STS_TABLE["AssumeRoleWithWebIdentity"]
    modelled = MODELS["sts"].shape_for("ExpiredTokenException").metadata["error"]
    assert parsed(row, errors.ExpiredTokenException("over"))["Error"]["Code"] == modelled["code"]
    assert parsed(row, ExpiredSessionException("over"))["Error"]["Code"] == "ExpiredToken"
    assert ExpiredSessionException.code == "ExpiredTokenException"  # in AWS JSON, as KMS returns it
