"""Every request and response, held against botocore's KMS model.

Requests must have every member of the model, with its limits. Responses may leave members out that this release never
fills in; the rest must be the model's. An operation that is not in the table yet is listed in ``COMING``.
"""

import enum
import re
from collections.abc import Iterator
from typing import Any, cast, get_type_hints

import botocore.session
import msgspec
import pytest
from botocore.model import ListShape, MapShape, Shape, StringShape, StructureShape
from msgspec import inspect

from strongroom import errors
from strongroom.operations.operation import Operation
from strongroom.operations.shapes import Empty
from strongroom.operations.table import TABLE

MODEL, IAM_MODEL, STS_MODEL = (
    cast("Any", botocore.session.get_session().get_service_model(service)) for service in ("kms", "iam", "sts")
)

COMING = {
    "GetPublicKey",
    "Sign",
    "Verify",
    "GenerateMac",
    "VerifyMac",
    "DeriveSharedSecret",
    "Encapsulate",
    "Decapsulate",
    "GenerateDataKeyPair",
    "GenerateDataKeyPairWithoutPlaintext",
    "GetKeyLastUsage",
    "GetParametersForImport",
    "ImportKeyMaterial",
    "DeleteImportedKeyMaterial",
    "ReplicateKey",
    "UpdatePrimaryRegion",
    "CreateCustomKeyStore",
    "DescribeCustomKeyStores",
    "UpdateCustomKeyStore",
    "ConnectCustomKeyStore",
    "DisconnectCustomKeyStore",
    "DeleteCustomKeyStore",
}


def test_the_table_and_what_is_coming_are_the_whole_api() -> None:
    assert set(TABLE) | COMING == set(MODEL.operation_names)
    assert not set(TABLE) & COMING


def response_type(operation: Operation) -> type:
    return get_type_hints(operation.run)["return"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", TABLE)
def test_request(name: str) -> None:
    declared = inspect.type_info(TABLE[name].request)
    assert list(differences(declared, MODEL.operation_model(name).input_shape, name, whole=True)) == []


@pytest.mark.parametrize("name", TABLE)
def test_response(name: str) -> None:
    shape = MODEL.operation_model(name).output_shape
    if shape is None:
        assert response_type(TABLE[name]) is Empty
    else:
        declared = inspect.type_info(response_type(TABLE[name]))
        assert list(differences(declared, shape, name, whole=False)) == []


def differences(declared: inspect.Type, shape: Shape, path: str, *, whole: bool) -> Iterator[str]:
    """Yield each way in which a declared type is not the model's shape. ``whole``: no member may be missing."""
    declared, extra = unwrapped(declared)
    if not isinstance(declared, expected_type(shape)):
        # A response may hold as text what is text everywhere else inside the service.
        if whole or not isinstance(declared, inspect.StrType):
            yield f"{path}: {type(declared).__name__} instead of {shape.type_name}"
        return
    if isinstance(shape, StructureShape):
        yield from structure_differences(declared, shape, path, whole=whole)
    elif isinstance(declared, inspect.ListType) and isinstance(shape, ListShape):
        yield from differences(declared.item_type, shape.member, f"{path}[]", whole=whole)
    elif isinstance(declared, inspect.DictType) and isinstance(shape, MapShape):
        yield from differences(declared.value_type, shape.value, f"{path}{{}}", whole=whole)
    elif isinstance(declared, inspect.EnumType) and path not in WIDER:
        members = {str(member.value) for member in declared.cls}
        yield from (f"{path}: enum value {value}" for value in sorted(members ^ set(cast("StringShape", shape).enum)))
    if whole:
        yield from limit_differences(declared, shape, extra, path)


def unwrapped(declared: inspect.Type) -> tuple[inspect.Type, dict[str, Any]]:
    """Return a type without its ``| None`` and its annotations, and what those said."""
    extra: dict[str, Any] = {}
    while isinstance(declared, inspect.Metadata | inspect.UnionType):
        if isinstance(declared, inspect.Metadata):
            extra |= declared.extra or {}
            declared = declared.type
        else:
            declared = next(each for each in declared.types if not isinstance(each, inspect.NoneType))
    return declared, extra


def expected_type(shape: Shape) -> Any:
    return inspect.EnumType if isinstance(shape, StringShape) and shape.enum else KINDS[shape.type_name]


WIDER = {
    # The deprecated member mirrors KeySpec in AWS's answers, newer specs included.
    "CreateKey.KeyMetadata.CustomerMasterKeySpec",
    "DescribeKey.KeyMetadata.CustomerMasterKeySpec",
}
KINDS: dict[str, Any] = {
    "string": inspect.StrType,
    "blob": inspect.BytesType,
    "boolean": inspect.BoolType,
    "integer": inspect.IntType,
    "timestamp": inspect.FloatType,
    "structure": inspect.StructType,
    "list": inspect.ListType,
    "map": inspect.DictType,
}


def structure_differences(declared: Any, shape: StructureShape, path: str, *, whole: bool) -> Iterator[str]:
    fields = {field.encode_name: field for field in declared.fields}
    for name in fields.keys() - shape.members.keys():
        yield f"{path}.{name}: not in the model"
    for name, member in shape.members.items():
        if name in fields:
            yield from differences(fields[name].type, member, f"{path}.{name}", whole=whole)
            if whole and fields[name].required != (name in shape.required_members):
                yield f"{path}.{name}: required is {fields[name].required}"
        elif whole:
            yield f"{path}.{name}: missing"


def limit_differences(declared: Any, shape: Shape, extra: dict[str, Any], path: str) -> Iterator[str]:
    metadata = shape.metadata
    low, high = ("ge", "le") if shape.type_name == "integer" else ("min_length", "max_length")
    for limit, name in ((low, "min"), (high, "max")):
        if getattr(declared, limit, None) != metadata.get(name):
            yield f"{path}: {name} is {getattr(declared, limit, None)}, not {metadata.get(name)}"
    if extra.get("pattern") != metadata.get("pattern"):
        yield f"{path}: pattern is {extra.get('pattern')}, not {metadata.get('pattern')}"
    if bool(extra.get("sensitive")) != bool(metadata.get("sensitive")):
        yield f"{path}: sensitive is {extra.get('sensitive')}"


@pytest.mark.parametrize("name", TABLE)
def test_every_declared_error_exists_or_belongs_to_what_is_coming(name: str) -> None:
    for shape in MODEL.operation_model(name).error_shapes:
        known = getattr(errors, shape.name, None)
        if known is None:
            assert re.match("CloudHsm|CustomKeyStore|Xks", shape.name), shape.name
        elif shape._shape_model.get("fault"):
            assert known.status == 500
        else:
            assert known.status == 400


def test_errors_are_aws_errors() -> None:
    front_end = {
        "UnknownOperationException",
        "SerializationException",
        "RequestEntityTooLargeException",
        "MissingAuthenticationTokenException",
        "IncompleteSignatureException",
        "InvalidSignatureException",
        "UnrecognizedClientException",
        "ThrottlingException",
        "ValidationException",
        "AccessDeniedException",
        "NotAuthorizedException",
    }
    ours = {each.__name__ for each in errors.KmsError.__subclasses__()}
    modelled = {
        shape.name
        for model in (MODEL, IAM_MODEL, STS_MODEL)
        for operation in model.operation_names
        for shape in model.operation_model(operation).error_shapes
    }
    assert ours - modelled == front_end


def test_the_comparison_notices_what_it_is_for() -> None:
    class Colour(enum.StrEnum):
        RED = "RED"

    class Wrong(msgspec.Struct, rename="pascal"):
        plaintext: str
        key_id: str | None = None
        encryption_algorithm: Colour | None = None
        nonsense: int = 0

    shape = MODEL.operation_model("Encrypt").input_shape
    found = "\n".join(differences(inspect.type_info(Wrong), shape, "Encrypt", whole=True))
    for expected in (
        "Encrypt.Nonsense: not in the model",
        "Encrypt.Plaintext: StrType instead of blob",
        "Encrypt.KeyId: required is False",
        "Encrypt.EncryptionAlgorithm: enum value RED",
        "Encrypt.GrantTokens: missing",
        "Encrypt.KeyId: max is None, not 2048",
    ):
        assert expected in found
