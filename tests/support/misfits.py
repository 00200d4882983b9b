"""Requests that fit less well than they could: every member left out, and given other values that its shape allows."""

from collections.abc import Iterator
from typing import Any

from botocore.model import ListShape, Shape, StringShape
from msgspec.structs import replace

from fitting import Asked
from model_differences import model_of

MODEL = model_of("kms")
WITHOUT_KEYS = {
    *("GenerateRandom", "CreateKey", "ListKeys", "ListRetirableGrants"),
    *("CreateCustomKeyStore", "DescribeCustomKeyStores", "UpdateCustomKeyStore"),
    *("ConnectCustomKeyStore", "DisconnectCustomKeyStore", "DeleteCustomKeyStore"),
}
"""Operations that have no KMS key, or do not have it yet."""
_SLOW = frozenset({"RSA_3072", "RSA_4096"})
"""Key pairs that take long to make; RSA_2048 stands for them."""
_STRANGE: dict[str, tuple[Any, ...]] = {
    "blob": ("AAAA",),
    "integer": (1, 100),
    "boolean": (True,),
    "map": ({"a": "b"},),
    "timestamp": (1.0, 1_790_000_001.0),
    "structure": ({}, {"AttestationDocument": "AAAA", "KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256"}),
    "string": ("nonsense",),
}
_STRANGE_KEYS = (
    *("nonsense", "alias/nobody", "11111111-2222-3333-4444-555555555555", "arn:aws:kms:us-east-1:1:nonsense"),
    "arn:aws:kms:eu-west-1:000000000000:key/11111111-2222-3333-4444-555555555555",
)


def has_dry_run(operation: str) -> bool:
    """Tell whether an operation can be asked whether it would succeed."""
    return "DryRun" in MODEL.operation_model(operation).input_shape.members


def dry(asked: Asked) -> Asked:
    """Return the request as a dry run."""
    return replace(asked, request={**asked.request, "DryRun": True})


def misfits(asked: Asked) -> Iterator[Asked]:
    """Yield the request with nothing in it, and with each of its members, one at a time, missing or strange."""
    yield replace(asked, request={})
    for name in asked.request:
        yield replace(asked, request={member: value for member, value in asked.request.items() if member != name})
    for name, shape in MODEL.operation_model(asked.operation).input_shape.members.items():
        if name == "DryRun":
            continue
        for value in _strange(shape):
            if value != asked.request.get(name):
                yield replace(asked, request={**asked.request, name: value})


def declared(operation: str) -> set[str]:
    """Return the codes with which an operation may refuse."""
    common = {"ValidationException", "AccessDeniedException", "ThrottlingException"}
    return common | {shape.name for shape in MODEL.operation_model(operation).error_shapes}


def _strange(shape: Shape) -> tuple[Any, ...]:
    if isinstance(shape, ListShape):
        return ([], *([value] for value in _strange(shape.member)))
    if isinstance(shape, StringShape) and shape.enum:
        return tuple(value for value in shape.enum if value not in _SLOW)
    return _STRANGE_KEYS if shape.name == "KeyIdType" else _STRANGE[shape.type_name]
