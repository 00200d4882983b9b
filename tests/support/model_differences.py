"""Compares a request or response type with its shape in botocore's model."""

from collections.abc import Iterator
from typing import Any, cast, get_type_hints

import botocore.session
from botocore.model import ListShape, MapShape, Shape, StringShape, StructureShape
from msgspec import inspect

from strongroom.operations.operation import Operation

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


def model_of(service: str) -> Any:
    """Return botocore's model of a service."""
    return botocore.session.get_session().get_service_model(service)


def response_type(operation: Operation) -> type:
    """Return the response type of an operation."""
    return get_type_hints(operation.run)["return"]  # type: ignore[no-any-return]


def differences(
    declared: inspect.Type, shape: Shape, path: str, *, whole: bool, wider: frozenset[str] = frozenset()
) -> Iterator[str]:
    """Yield each difference between a declared type and its shape in the model.

    ``whole``: also compare limits, and report every missing member; otherwise only missing required ones. ``wider``:
    paths whose enum may have other values.
    """
    declared, extra = unwrapped(declared)
    if not isinstance(declared, expected_type(shape)):
        # A response may hold an enumeration as text, as the service does everywhere else.
        if whole or not isinstance(declared, inspect.StrType) or not isinstance(shape, StringShape):
            yield f"{path}: {type(declared).__name__} instead of {shape.type_name}"
        return
    if isinstance(shape, StructureShape):
        yield from structure_differences(declared, shape, path, whole=whole, wider=wider)
    elif isinstance(declared, inspect.ListType) and isinstance(shape, ListShape):
        yield from differences(declared.item_type, shape.member, f"{path}[]", whole=whole, wider=wider)
    elif isinstance(declared, inspect.DictType) and isinstance(shape, MapShape):
        yield from differences(declared.value_type, shape.value, f"{path}{{}}", whole=whole, wider=wider)
    elif isinstance(declared, inspect.EnumType) and path not in wider:
        members = {str(member.value) for member in declared.cls}
        yield from (f"{path}: enum value {value}" for value in sorted(members ^ set(cast("StringShape", shape).enum)))
    if whole:
        yield from limit_differences(declared, shape, extra, path)


def unwrapped(declared: inspect.Type) -> tuple[inspect.Type, dict[str, Any]]:
    """Return a type without its ``| None`` and its annotations, and the extra data of the annotations."""
    extra: dict[str, Any] = {}
    while isinstance(declared, inspect.Metadata | inspect.UnionType):
        if isinstance(declared, inspect.Metadata):
            extra |= declared.extra or {}
            declared = declared.type
        else:
            declared = next(each for each in declared.types if not isinstance(each, inspect.NoneType))
    return declared, extra


def expected_type(shape: Shape) -> Any:
    """Return the class of msgspec types that represents a shape."""
    return inspect.EnumType if isinstance(shape, StringShape) and shape.enum else KINDS[shape.type_name]


def structure_differences(
    declared: Any, shape: StructureShape, path: str, *, whole: bool, wider: frozenset[str]
) -> Iterator[str]:
    fields = {field.encode_name: field for field in declared.fields}
    for name in fields.keys() - shape.members.keys():
        yield f"{path}.{name}: not in the model"
    for name, member in shape.members.items():
        if name in fields:
            yield from differences(fields[name].type, member, f"{path}.{name}", whole=whole, wider=wider)
            if whole and fields[name].required != (name in shape.required_members):
                yield f"{path}.{name}: required is {fields[name].required}"
        elif whole or name in shape.required_members:
            yield f"{path}.{name}: missing"


def limit_differences(declared: Any, shape: Shape, extra: dict[str, Any], path: str) -> Iterator[str]:
    metadata = shape.metadata
    low, high = ("ge", "le") if shape.type_name == "integer" else ("min_length", "max_length")
    for limit, name in ((low, "min"), (high, "max")):
        if limit == "max_length" and extra.get("own_limit") and metadata.get(name) is None:
            continue
        if getattr(declared, limit, None) != metadata.get(name):
            yield f"{path}: {name} is {getattr(declared, limit, None)}, not {metadata.get(name)}"
    if extra.get("pattern") != metadata.get("pattern"):
        yield f"{path}: pattern is {extra.get('pattern')}, not {metadata.get('pattern')}"
    if bool(extra.get("sensitive")) != bool(metadata.get("sensitive")):
        yield f"{path}: sensitive is {extra.get('sensitive')}"
