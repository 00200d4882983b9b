"""What a setting can be, in words: for messages about values that it cannot have, and for showing those that it has."""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Literal, cast, get_args, get_origin

import msgspec
from msgspec import inspect

from strongroom.event_destinations import EventDestination
from strongroom.settings import Settings, SettingsError

FIELDS: Mapping[str, msgspec.structs.FieldInfo] = {each.encode_name: each for each in msgspec.structs.fields(Settings)}
"""The settings, by the names that they have in a file."""

_LONGEST_SHOWN = 80
_PLACE = re.compile(r"(.*) - at `\$(.*)`", re.DOTALL)
_STEP = re.compile(r"\[(\d+)\]|\.([a-z0-9-]+)")
_QUOTED = r"'(?:[^'\\]|\\.)*(?:'|$)"
_ASSIGNMENT = r"((?:password|oauth_client_secret)\s*=\s*)"
_URL = re.compile(r"\s*[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_CONNECTION_PASSWORD = re.compile(rf"{_ASSIGNMENT}({_QUOTED}|(?:\\.|[^\s\\])+)", re.IGNORECASE | re.DOTALL)
"""A password among ``NAME=VALUE`` parts, where a backslash makes the next character part of the value."""
_QUERY_PASSWORD = re.compile(rf"{_ASSIGNMENT}({_QUOTED}|[^\s&]+)", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"(://[^:@/\s]*):.*@", re.DOTALL)
_HIDDEN = "…"
_KINDS_WITHOUT_SECRETS = frozenset({"file:", "command:", "folder:", "syslog+tls:", "s3:"})
"""How addresses of destinations begin that need no secret. Any other may be that of a webhook, which can be one."""


def value_of(name: str, raw: object) -> object:
    """Return the value of a setting from what a source gave for it; raises SettingsError, which tells what it can be.

    The message is about `it`: its reader must add where the value was given.
    """
    field = FIELDS[name]
    try:
        value: object = msgspec.convert(raw, field.type, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(_explained(str(error), field, raw)) from None
    try:
        msgspec.json.encode(value)
    except UnicodeEncodeError:
        # It could be in no JSON, and so in no audit record and no worker.
        raise SettingsError("it is not UTF-8; rename the file or folder") from None
    return value


def is_plain_list(name: str) -> bool:
    """Tell whether a setting is a list of texts or numbers, which a variable can have with commas between them."""
    kind = _inner(inspect.type_info(FIELDS[name].type))
    return isinstance(kind, inspect.VarTupleType) and not isinstance(_inner(kind.item_type), inspect.StructType)


def meant(name: str, known: Iterable[str]) -> str:
    """Return a question after the name that is most like a wrong one, to be added to a message; empty if none is."""
    similar = get_close_matches(name, list(known), 1)
    return f"; did you mean `{similar[0]}`?" if similar else ""


def without_secrets(value: object) -> object:
    """Return the value of a setting as it may be shown: passwords in addresses are hidden, and secret paths."""
    if isinstance(value, str):
        hidden = _URL_PASSWORD.sub(rf"\1:{_HIDDEN}@", value)
        password = _QUERY_PASSWORD if _URL.match(value) else _CONNECTION_PASSWORD
        return password.sub(rf"\1{_HIDDEN}", hidden)
    if isinstance(value, dict):
        return {name: _member(name, each) for name, each in cast("dict[str, object]", value).items()}
    if isinstance(value, list | tuple):
        return [without_secrets(each) for each in cast("list[object]", value)]
    return value


def _member(name: str, value: object) -> object:
    """Return a member of a table as it may be shown."""
    if name == "to" and isinstance(value, str):
        return _shown_address(value)
    return without_secrets(value)


def _shown_address(value: str) -> str:
    """Return the address of a destination as it may be shown, also one that no destination can have."""
    kind, separator, _ = value.partition("//")
    if not separator or kind in _KINDS_WITHOUT_SECRETS:
        return cast("str", without_secrets(value))
    return EventDestination(value).shown if kind == "https:" else f"{kind}//{_HIDDEN}"


def _explained(error: str, field: msgspec.structs.FieldInfo, raw: object) -> str:
    found = _PLACE.fullmatch(error)
    reason, path = (error, "") if found is None else found.groups()
    kind, value, subject = _at(inspect.type_info(field.type), raw, path)
    if unknown := re.fullmatch(r"Object contains unknown field `(.*)`", reason, re.DOTALL):
        table = _inner(kind)
        names = [each.encode_name for each in table.fields] if isinstance(table, inspect.StructType) else []
        return f"{subject} has `{unknown[1]}`, which is no setting there{meant(unknown[1], names)}"
    if missing := re.fullmatch(r"Object missing required field `(.*)`", reason):
        return f"{subject} needs `{missing[1]}`"
    choices = get_args(field.type) if get_origin(field.type) is Literal else ()
    words = f"one of {', '.join(map(str, choices))}" if choices else _words(kind)
    return f"{subject} must be {words}{_quotes(kind, value)}, not {_shown(value)}"


def _quotes(kind: inspect.Type, value: object) -> str:
    """Say that a text needs quotes where a number or another bare value is in the place of one, as TOML reads it."""
    is_text = isinstance(_inner(kind), inspect.StrType | inspect.LiteralType)
    return " in quotes" if is_text and not isinstance(value, str | list | tuple | dict) else ""


def _at(kind: inspect.Type, value: object, path: str) -> tuple[inspect.Type, object, str]:
    """Follow the path of an error into a value; return the type there, what is there, and what to call it."""
    words = list[str]()
    for index, name in cast("list[tuple[str, str]]", _STEP.findall(path)):
        kind = _inner(kind)
        if index and isinstance(kind, inspect.VarTupleType):
            kind, value = kind.item_type, cast("list[object]", value)[int(index)]
            words.append(f"entry {int(index) + 1}")
        elif isinstance(kind, inspect.StructType):
            kind = next(each.type for each in kind.fields if each.encode_name == name)
            value = cast("dict[str, object]", value)[name]
            words.append(f"`{name}`")
    return kind, value, " of ".join(reversed(words)) or "it"


def _inner(kind: inspect.Type) -> inspect.Type:
    """Return a type without its description, and without what says that there may be no value."""
    if isinstance(kind, inspect.Metadata):
        return _inner(kind.type)
    if isinstance(kind, inspect.UnionType):
        return _inner(next(each for each in kind.types if not isinstance(each, inspect.NoneType)))
    return kind


def _words(kind: inspect.Type) -> str:
    """Return what a value of a type can be."""
    inner = _inner(kind)
    words = _description(kind) or _number_words(inner) or _text_words(inner)
    if words:
        return words
    match inner:
        case inspect.LiteralType(values=values):
            return f"one of {', '.join(map(str, values))}"
        case inspect.VarTupleType(item_type=item, min_length=least):
            return _list_words(_inner(item), least)
        case _:
            return "a table of names and values"


def _number_words(kind: inspect.Type) -> str:
    match kind:
        case inspect.IntType(ge=least, le=most):
            return f"a whole number{_range(least, None, most)}"
        case inspect.FloatType(ge=least, gt=above, le=most):
            return f"a number{_range(least, above, most)}"
        case _:
            return ""


def _text_words(kind: inspect.Type) -> str:
    match kind:
        case inspect.BoolType():
            return "true or false"
        case inspect.StrType(max_length=most):
            return "text" if most is None else f"text of 1 to {most} characters"
        case _:
            return ""


def _description(kind: inspect.Type) -> str:
    """Return how the settings describe a type, if they do."""
    if isinstance(kind, inspect.Metadata):
        return str((kind.extra_json_schema or {}).get("description", "")) or _description(kind.type)
    if isinstance(kind, inspect.UnionType):
        return next((words for each in kind.types if (words := _description(each))), "")
    return ""


def _range(least: float | None, above: float | None, most: float | None) -> str:
    """Return the bounds of a number. Every number has a largest value, and a test says so."""
    return f" above {above:g} and at most {most:.15g}" if above is not None else f" from {least:.15g} to {most:.15g}"


def _list_words(item: inspect.Type, least: int | None) -> str:
    if isinstance(item, inspect.StructType):
        return "a list of tables, which only a settings file can have"
    return f'a list such as ["one", "two"]{", with one entry at least" if least else ""}'


def _shown(value: object) -> str:
    if isinstance(value, list | tuple):
        return "a list of none" if not value else "a list"
    if isinstance(value, dict):
        return "a table"
    text = str(value).lower() if isinstance(value, bool) else str(without_secrets(value))
    if not text:
        return "empty"
    text = text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}{_HIDDEN}"
    return f"`{''.join(each if each.isprintable() else ascii(each)[1:-1] for each in text)}`"
