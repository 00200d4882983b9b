"""Resolves the names of files and folders in settings: in a settings file, they belong to the folder of that file."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import cast

from msgspec import inspect

from strongroom.file_names import PATHS, PathAfter
from strongroom.settings import SettingsError
from strongroom.settings_values import FIELDS

_HOME = re.compile(r"~([^/]*/|\Z)")
"""How a name begins that a shell would take for one in a home folder."""
_NODE_ID = "node-id"
"""A file that every data folder has."""


def resolved(name: str, raw: object, folder: Path | None) -> object:
    """Return what a source gave for a setting, with names of files that are relative to ``folder`` made absolute.

    Without a folder they stay relative, so to the current one. What cannot be a value of the setting stays as it is.
    Raises SettingsError for a name that begins with `~`, which nothing here expands, or has a NUL, and for a data
    folder that is in the current folder alone.
    """
    value = _resolved(inspect.type_info(FIELDS[name].type), raw, folder)
    if name == "data" and isinstance(raw, str) and folder is not None:
        _require_meant(raw, folder)
    return value


def _resolved(kind: inspect.Type, value: object, folder: Path | None, paths: Iterable[PathAfter] = ()) -> object:
    match kind:
        case inspect.Metadata(type=described, extra=extra):
            return _resolved(described, value, folder, cast("dict[str, tuple[PathAfter]]", extra or {}).get(PATHS, ()))
        case inspect.UnionType(types=types):
            return _resolved(next(each for each in types if not isinstance(each, inspect.NoneType)), value, folder)
        case inspect.VarTupleType(item_type=item) if isinstance(value, list | tuple):
            return [_resolved(item, each, folder) for each in cast("list[object]", value)]
        case inspect.StructType(fields=fields) if isinstance(value, dict):
            kinds = {each.encode_name: each.type for each in fields}
            members = cast("dict[str, object]", value).items()
            return {key: _resolved(kinds[key], each, folder) if key in kinds else each for key, each in members}
        case _:
            return _text(value, folder, paths) if isinstance(value, str) else value


def _text(value: str, folder: Path | None, paths: Iterable[PathAfter]) -> str:
    for beginning, only_with_slash in paths:
        path = value.removeprefix(beginning)
        if not value.startswith(beginning) or not path or (only_with_slash and "/" not in path):
            continue
        if _HOME.match(path):
            raise SettingsError(f"`{value}` has `~`, which is not expanded; write the name of the home folder")
        if "\0" in path:
            raise SettingsError("it has the name of a file with the character NUL, which none can have")
        return value if folder is None else f"{beginning}{folder / path}"
    return value


def _require_meant(data: str, folder: Path) -> None:
    """Raise SettingsError if a data folder is not where its name leads, but is where earlier builds looked for it.

    They began at the current folder. A start would make a new deployment beside the one that is there.
    """
    there = folder / data
    # Without the right to look, access says no; the start that has it is refused.
    if not os.access(there, os.F_OK) and os.access(Path(data, _NODE_ID), os.F_OK):
        raise SettingsError(
            f"it is `{there}`, which does not exist, but there is a data folder `{Path(data).absolute()}`; "
            "write the absolute name of the one that is meant"
        )
