"""Decodes request bodies, and refuses members that break their limits with AWS's messages.

msgspec checks types and limits fast, but stops at the first breach, with a message of its own. Only then is the body
checked again, against the same declarations, to list the breaches as AWS does. The work of that is bounded, and so is
the message: anybody with an access key can send such a request, whatever policies allow.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import islice
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from strongroom.errors import SerializationException, ValidationException

R = TypeVar("R", bound=msgspec.Struct)

MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError)
"""What a decoder raises; msgspec.ValidationError is one of them."""

_MAX_CLAUSES = 20
_MAX_MEMBERS = 1000
"""How many members of a list are looked at. No list may have more."""
_MAX_SHOWN = 4096
"""How many characters of one value a message repeats. Every value within the limits of its member is shorter or is not
shown at all, but for policy documents."""
_MAX_DEPTH = 3
_CUT = "..."


def decode(decoder: msgspec.json.Decoder[R], body: bytes) -> R:
    """Return the request in ``body``.

    Raises SerializationException when it is not JSON of the right types, ValidationException when limits are broken.
    """
    try:
        return decoder.decode(body or b"{}")
    except MALFORMED as error:
        raise refusal(decoder, body, error) from None


def refusal(decoder: msgspec.json.Decoder[R], body: bytes, error: Exception) -> Exception:
    """Return the error for a body that a decoder did not take: Validation- or SerializationException."""
    return (
        _explain(decoder, body, error) if isinstance(error, msgspec.ValidationError) else SerializationException(None)
    )


def convert(declared: type[R], raw: object) -> R:
    """Return the request with these JSON-like values; raises as ``decode`` does."""
    try:
        return msgspec.convert(raw, declared)
    except msgspec.ValidationError as error:
        raise _worded(declared, raw, error) from None


def without_none(declared: inspect.Type) -> inspect.Type:
    """Return a type without its annotations and its ``| None``."""
    while isinstance(declared, inspect.Metadata | inspect.UnionType):
        declared = declared.type if isinstance(declared, inspect.Metadata) else _not_none(declared)
    return declared


def _explain(decoder: msgspec.json.Decoder[R], body: bytes, error: msgspec.ValidationError) -> Exception:
    try:
        raw: object = msgspec.json.decode(body)
    except MALFORMED:
        return SerializationException(None)
    return _worded(decoder.type, raw, error)


def _worded(declared: type[R], raw: object, error: msgspec.ValidationError) -> Exception:
    try:
        found = list(islice(_breaches(_type_info(declared), raw, ""), _MAX_CLAUSES + 1))
    except _WrongTypeError:
        return SerializationException(str(error) if "Expected" in str(error) else None)
    if not found:
        return SerializationException(None)
    plural = "error" if len(found) == 1 else "errors"
    number = str(len(found))
    if len(found) > _MAX_CLAUSES:
        found.pop()
        number = f"More than {_MAX_CLAUSES}"
    return ValidationException(f"{number} validation {plural} detected: {'; '.join(found)}")


@lru_cache(maxsize=512)
def _type_info(declared: type[msgspec.Struct]) -> inspect.Type:
    # It takes longer than most checks; there is one for each operation.
    return inspect.type_info(declared)


_HIDDEN = object()
"""Stands for a value that must not be shown."""

Extra = dict[str, object]
"""What a declaration has beyond msgspec's own limits: whether it is sensitive, and its pattern as AWS writes it."""


class _WrongTypeError(Exception):
    """A value has another JSON type than declared. That is refused in another way than a broken limit."""


def _breaches(declared: inspect.Type, value: object, path: str) -> Iterator[str]:
    """Yield one clause for each limit that ``value``, found at ``path``, breaks."""
    extra: Extra = {}
    while isinstance(declared, inspect.Metadata):
        extra |= declared.extra or {}
        declared = declared.type
    check = _CHECKS.get(type(declared))
    if check is not None:
        yield from check(declared, value, path, extra)


def _union_breaches(declared: inspect.UnionType, value: object, path: str, _extra: Extra) -> Iterator[str]:
    if value is not None:
        yield from _breaches(_not_none(declared), value, path)


def _not_none(union: inspect.UnionType) -> inspect.Type:
    return next(each for each in union.types if not isinstance(each, inspect.NoneType))


def _struct_breaches(declared: inspect.StructType, value: object, path: str, _extra: Extra) -> Iterator[str]:
    if not isinstance(value, dict):
        raise _WrongTypeError
    for field in declared.fields:
        member = value.get(field.encode_name)
        name = field.encode_name[:1].lower() + field.encode_name[1:]
        where = f"{path}.{name}" if path else name
        if member is None and field.required:
            yield f"Value null at '{where}' failed to satisfy constraint: Member must not be null"
        elif member is not None:
            yield from _breaches(field.type, member, where)


def _list_breaches(declared: inspect.ListType, value: object, path: str, _extra: Extra) -> Iterator[str]:
    if not isinstance(value, list):
        raise _WrongTypeError
    item = declared.item_type
    within = value[:_MAX_MEMBERS]
    if isinstance(item, inspect.EnumType):
        yield from _enum_list_breaches(item, value, within, path)
    else:
        for index, each in enumerate(within, 1):
            yield from _breaches(item, each, f"{path}.{index}.member")
    yield from _length_breaches(len(value), declared, value, path)


def _enum_list_breaches(item: inspect.EnumType, value: object, within: list[object], path: str) -> Iterator[str]:
    if not all(isinstance(each, str) for each in within):
        raise _WrongTypeError
    members = _members(item)
    if any(each not in members for each in within):
        inner = f"Member must satisfy enum value set: [{', '.join(members)}]"
        yield _clause(value, path, f"Member must satisfy constraint: [{inner}]")


def _enum_breaches(declared: inspect.EnumType, value: object, path: str, _extra: Extra) -> Iterator[str]:
    if not isinstance(value, str):
        raise _WrongTypeError
    if value not in _members(declared):
        yield _clause(value, path, f"Member must satisfy enum value set: [{', '.join(_members(declared))}]")


def _members(declared: inspect.EnumType) -> list[str]:
    return [str(member.value) for member in declared.cls]


def _bytes_breaches(declared: inspect.BytesType, value: object, path: str, extra: Extra) -> Iterator[str]:
    try:
        content = msgspec.convert(value, bytes)
    except msgspec.ValidationError:
        raise _WrongTypeError from None
    size = len(content)
    # AWS shows a blob as the Java buffer it is held in.
    shown = _HIDDEN if extra.get("sensitive") else f"java.nio.HeapByteBuffer[pos=0 lim={size} cap={size}]"
    yield from _length_breaches(size, declared, shown, path)


def _string_breaches(declared: inspect.StrType, value: object, path: str, extra: Extra) -> Iterator[str]:
    if not isinstance(value, str):
        raise _WrongTypeError
    shown = _HIDDEN if extra.get("sensitive") else value
    yield from _length_breaches(len(value), declared, shown, path)
    if declared.pattern and not re.search(declared.pattern, value):
        yield _clause(shown, path, f"Member must satisfy regular expression pattern: {extra['pattern']}")


def _number_breaches(declared: inspect.IntType, value: object, path: str, _extra: Extra) -> Iterator[str]:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _WrongTypeError
    if declared.ge is not None and value < declared.ge:
        yield _clause(value, path, f"Member must have value greater than or equal to {declared.ge}")
    if declared.le is not None and value > declared.le:
        yield _clause(value, path, f"Member must have value less than or equal to {declared.le}")


def _length_breaches(
    length: int, declared: inspect.StrType | inspect.BytesType | inspect.ListType, value: object, path: str
) -> Iterator[str]:
    if declared.min_length is not None and length < declared.min_length:
        yield _clause(value, path, f"Member must have length greater than or equal to {declared.min_length}")
    if declared.max_length is not None and length > declared.max_length:
        yield _clause(value, path, f"Member must have length less than or equal to {declared.max_length}")


def _clause(value: object, path: str, rule: str) -> str:
    shown = "" if value is _HIDDEN else f" '{_text(value)}'"
    return f"Value{shown} at '{path}' failed to satisfy constraint: {rule}"


def _text(value: object, depth: int = 0) -> str:
    """Return a value as a message shows it: the beginning of what is long, and the outermost levels of what is deep."""
    if isinstance(value, list):
        return f"[{_joined(value, depth)}]"
    if isinstance(value, dict):
        return f"{{{_joined((each for pair in value.items() for each in pair), depth)}}}"
    text = str(value)
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + _CUT


def _joined(values: Iterable[object], depth: int) -> str:
    if depth == _MAX_DEPTH:
        return _CUT
    parts: list[str] = []
    size = 0
    for value in values:
        if size > _MAX_SHOWN:
            parts.append(_CUT)
            break
        parts.append(_text(value, depth + 1))
        size += len(parts[-1])
    return ", ".join(parts)


_CHECKS: dict[type[inspect.Type], Callable[[Any, object, str, Extra], Iterator[str]]] = {
    inspect.UnionType: _union_breaches,
    inspect.StructType: _struct_breaches,
    inspect.ListType: _list_breaches,
    inspect.EnumType: _enum_breaches,
    inspect.BytesType: _bytes_breaches,
    inspect.StrType: _string_breaches,
    inspect.IntType: _number_breaches,
}
