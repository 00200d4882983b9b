"""Mutations of valid requests: every member left out, or given another value that its shape allows."""

from collections.abc import Iterator
from typing import Any

from botocore.model import ListShape, Shape, StringShape
from msgspec.structs import replace

from model_differences import model_of
from valid_requests import RequestCase

MODEL = model_of("kms")
WITHOUT_KEYS = {
    *("GenerateRandom", "CreateKey", "ListKeys", "ListRetirableGrants"),
    *("CreateCustomKeyStore", "DescribeCustomKeyStores", "UpdateCustomKeyStore"),
    *("ConnectCustomKeyStore", "DisconnectCustomKeyStore", "DeleteCustomKeyStore"),
}
"""Operations without a KMS key, and CreateKey."""
_SLOW = frozenset({"RSA_3072", "RSA_4096"})
"""Enum values that are left out because their key pairs are slow to make; RSA_2048 is tested instead."""
_UNUSUAL_VALUES: dict[str, tuple[Any, ...]] = {
    "blob": ("AAAA",),
    "integer": (1, 100),
    "boolean": (True,),
    "map": ({"a": "b"},),
    "timestamp": (1.0, 1_790_000_001.0),
    "structure": ({}, {"AttestationDocument": "AAAA", "KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256"}),
    "string": ("nonsense",),
}
_UNUSUAL_KEY_IDS = (
    *("nonsense", "alias/nobody", "11111111-2222-3333-4444-555555555555", "arn:aws:kms:us-east-1:1:nonsense"),
    "arn:aws:kms:eu-west-1:000000000000:key/11111111-2222-3333-4444-555555555555",
)


def has_dry_run(operation: str) -> bool:
    """Return whether an operation has the parameter DryRun."""
    return "DryRun" in MODEL.operation_model(operation).input_shape.members


def as_dry_run(asked: RequestCase) -> RequestCase:
    """Return the request as a dry run."""
    return replace(asked, request={**asked.request, "DryRun": True})


def mutations(asked: RequestCase) -> Iterator[RequestCase]:
    """Yield the empty request, and the request with one member at a time left out or given an unusual value."""
    yield replace(asked, request={})
    for name in asked.request:
        yield replace(asked, request={member: value for member, value in asked.request.items() if member != name})
    for name, shape in MODEL.operation_model(asked.operation).input_shape.members.items():
        if name == "DryRun":
            continue
        for value in _unusual_values(shape):
            if value != asked.request.get(name):
                yield replace(asked, request={**asked.request, name: value})


def declared_errors(operation: str) -> set[str]:
    """Return the error codes that an operation declares, and those common to all operations."""
    common = {"ValidationException", "AccessDeniedException", "ThrottlingException"}
    return common | {shape.name for shape in MODEL.operation_model(operation).error_shapes}


def _unusual_values(shape: Shape) -> tuple[Any, ...]:
    if isinstance(shape, ListShape):
        return ([], *([value] for value in _unusual_values(shape.member)))
    if isinstance(shape, StringShape) and shape.enum:
        return tuple(value for value in shape.enum if value not in _SLOW)
    return _UNUSUAL_KEY_IDS if shape.name == "KeyIdType" else _UNUSUAL_VALUES[shape.type_name]
