"""Every request and response type of KMS, compared with botocore's model.

Requests must have every member of the model, with its limits. Responses may lack members that this release never
returns; the others must match the model.
"""

import enum
import re

import msgspec
import pytest
from msgspec import inspect

from model_differences import differences, model_of, response_type
from strongroom import errors
from strongroom.keys import xks_errors
from strongroom.operations.kms.table import TABLE
from strongroom.operations.shapes import Empty

MODEL = model_of("kms")


def test_the_table_has_every_operation_of_the_api() -> None:
    assert set(TABLE) == set(MODEL.operation_names)


WIDER = frozenset(
    {
        # The deprecated member mirrors KeySpec in AWS's answers, newer specs included.
        "CreateKey.KeyMetadata.CustomerMasterKeySpec",
        "DescribeKey.KeyMetadata.CustomerMasterKeySpec",
        "GetPublicKey.CustomerMasterKeySpec",
        "ReplicateKey.ReplicaKeyMetadata.CustomerMasterKeySpec",
    }
)


@pytest.mark.parametrize("name", TABLE)
def test_a_request_type_matches_the_model(name: str) -> None:
    declared = inspect.type_info(TABLE[name].request)
    assert list(differences(declared, MODEL.operation_model(name).input_shape, name, whole=True)) == []


@pytest.mark.parametrize("name", TABLE)
def test_a_response_type_matches_the_model(name: str) -> None:
    shape = MODEL.operation_model(name).output_shape
    if shape is None:
        assert response_type(TABLE[name]) is Empty
    else:
        declared = inspect.type_info(response_type(TABLE[name]))
        assert list(differences(declared, shape, name, whole=False, wider=WIDER)) == []


@pytest.mark.parametrize("name", TABLE)
def test_every_declared_error_exists_or_belongs_to_custom_key_stores(name: str) -> None:
    for shape in MODEL.operation_model(name).error_shapes:
        known = getattr(errors, shape.name, None) or getattr(xks_errors, shape.name, None)
        if known is None:
            assert re.match("CloudHsm|IncorrectTrustAnchor|XksProxyVpc", shape.name), shape.name
        elif shape._shape_model.get("fault"):
            assert known.status == 500
        else:
            assert known.status == 400


def test_every_error_is_one_of_aws() -> None:
    front_end = {
        "UnknownOperationException",
        "SerializationException",
        "RequestEntityTooLargeException",
        "MissingAuthenticationTokenException",
        "IncompleteSignatureException",
        "InvalidSignatureException",
        "UnrecognizedClientException",
        "ExpiredSessionException",
        "ThrottlingException",
        "ValidationException",
        "AccessDeniedException",
        "NotAuthorizedException",
        # STS returns it, though its model does not declare it (IAM User Guide, "Session tagging").
        "InvalidParameterValueException",
    }
    # CreateKey's, by the table of the KMS Developer Guide (keys/xks_failures.py).
    front_end.add("XksKeyInvalidResponseException")
    ours = {each.__name__ for each in errors.KmsError.__subclasses__()}
    modelled = {
        shape.name
        for model in (MODEL, model_of("iam"), model_of("sts"))
        for operation in model.operation_names
        for shape in model.operation_model(operation).error_shapes
    }
    assert ours - modelled == front_end


def test_the_comparison_reports_each_kind_of_difference() -> None:
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
