"""The request parameters in an audit record: all but secrets, with CloudTrail's lower camel case names. Pure."""

from collections.abc import Callable, Mapping
from typing import cast

import msgspec

_SECRET = frozenset({"GrantTokens", "GrantToken", "WebIdentityToken", "TokenCode"})

Parameters = Callable[[msgspec.Struct], Mapping[str, object]]


def lower_camel(name: str) -> str:
    """Return ``keyId`` for ``KeyId``."""
    return name[:1].lower() + name[1:]


def parameters_of(request: type[msgspec.Struct]) -> Parameters:
    """Return a function that gives the loggable fields of one request type.

    These are left out: byte strings (plaintext, ciphertext, messages, key material), sensitive fields (passwords),
    nested structures with such fields, grant tokens, and fields that are None. The values are not copied; encode them
    before the request changes.
    """
    fields = [
        (field.name, lower_camel(field.encode_name), _converter(field.type))
        for field in msgspec.structs.fields(request)
        if field.encode_name not in _SECRET and not _is_opaque(field.type)
    ]

    def parameters(value: msgspec.Struct) -> Mapping[str, object]:
        found: dict[str, object] = {}
        for attribute, name, convert in fields:
            # Any field of any request type: the names are those the type itself declares.
            member: object = getattr(value, attribute)
            if member is not None:
                found[name] = member if convert is None else convert(member)
        return found

    return parameters


def elements_of(response: object) -> object:
    """Return a response, or a part of one, with CloudTrail's names at every level. It must have no secrets."""
    value: object = msgspec.to_builtins(response)
    if isinstance(value, dict):
        return {lower_camel(name): elements_of(member) for name, member in value.items()}
    return [elements_of(each) for each in value] if isinstance(value, list) else value


def _members(annotation: object) -> tuple[msgspec.inspect.Type, ...]:
    info = msgspec.inspect.type_info(annotation)
    return info.types if isinstance(info, msgspec.inspect.UnionType) else (info,)


def _alternatives(annotation: object) -> list[msgspec.inspect.Type]:
    return [each.type if isinstance(each, msgspec.inspect.Metadata) else each for each in _members(annotation)]


def _is_opaque(annotation: object) -> bool:
    return _is_sensitive(annotation) or any(
        isinstance(each, msgspec.inspect.BytesType)
        or (isinstance(each, msgspec.inspect.StructType) and any(_is_opaque(field.type) for field in _fields(each)))
        for each in _alternatives(annotation)
    )


def _is_sensitive(annotation: object) -> bool:
    extras = (each.extra or {} for each in _members(annotation) if isinstance(each, msgspec.inspect.Metadata))
    return any(extra.get("sensitive") for extra in extras)


def _fields(structure: msgspec.inspect.StructType) -> tuple[msgspec.structs.FieldInfo, ...]:
    return msgspec.structs.fields(structure.cls)


def _converter(annotation: object) -> Callable[[object], object] | None:
    """Return a function that renames the members of a structure, or of a list of them (tags); None for plain values."""
    for each in _alternatives(annotation):
        if isinstance(each, msgspec.inspect.StructType):
            return cast("Callable[[object], object]", parameters_of(each.cls))
        if isinstance(each, msgspec.inspect.ListType) and isinstance(each.item_type, msgspec.inspect.StructType):
            return _each(parameters_of(each.item_type.cls))
    return None


def _each(convert: Parameters) -> Callable[[object], object]:
    def convert_all(items: object) -> object:
        return [convert(item) for item in cast("list[msgspec.Struct]", items)]

    return convert_all
