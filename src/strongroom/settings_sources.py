"""Reads the settings: defaults, then ``strongroom.toml``, then ``STRONGROOM_*`` variables, then the command line."""

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import cast

import msgspec

from strongroom.settings import Settings, SettingsError
from strongroom.settings_paths import resolved
from strongroom.settings_rules import Mistake, listener_mistakes, mistakes_in
from strongroom.settings_values import FIELDS, is_plain_list, meant, value_of

_PREFIX = "STRONGROOM_"
CONFIG_VARIABLE = "STRONGROOM_CONFIG"
"""The variable that names the settings file. It is no setting itself."""
_OPTIONS = {
    "regions": "region",
    **{f"xks-{each}": each for each in ("listen", "tls-cert", "tls-key", "tls-client-ca", "allow-plaintext")},
}
"""Settings whose option on the command line has another name; the later ones in ``strongroom xks-proxy serve``."""
_NO_OPTIONS: Mapping[str, str] = {}
_ALSO = {"region": "regions"}
"""Other names for settings: the option ``--region`` gives a Region, so many will look for a setting of that name."""

RELOADED = frozenset(
    {"tls_cert", "tls_key", "tls_min_version", "tls_ciphers", "tls_client_ca"}
    | {"log_level", "keeper_interval", "worker_timeout", "drain", "lease"}
)
"""The settings that a running server takes on when it is told to read its settings anew."""
_TLS_FILES = {"tls_cert", "tls_key", "tls_client_ca"}

_LINE = re.compile(r"""\s*(?:(\[)\[?\s*)?["']?([A-Za-z0-9_-]+)["']?\s*[=.\]]""")
"""A line of a file that begins a table, or gives a value to a name."""


class SourceKind(StrEnum):
    """What the value of a setting can come from. Later ones win."""

    DEFAULT = "default"
    FILE = "file"
    ENVIRONMENT = "environment"
    COMMAND_LINE = "command line"


class Source(msgspec.Struct, frozen=True):
    """Where the value of a setting comes from: the file, the variable or the option that is ``named``.

    ``line`` is the number of the line in the file, as far as it is known.
    """

    kind: SourceKind = SourceKind.DEFAULT
    named: str = ""
    line: int | None = None

    @property
    def text(self) -> str:
        """The source as a table has it."""
        return f"{self.named}:{self.line}" if self.line else self.named or str(self.kind)


class FoundSettings(msgspec.Struct, frozen=True):
    """What was found in all sources: a setting whose value cannot be used has its default.

    ``sources`` has a source for each setting, by its name. ``notes`` tell what has no effect.
    """

    settings: Settings
    sources: Mapping[str, Source]
    mistakes: tuple[Mistake, ...]
    notes: tuple[str, ...]


class _Given(msgspec.Struct, frozen=True):
    """What one source gives for a setting, what messages call that, and to which folder names in it are relative."""

    value: object
    source: Source
    place: str
    folder: Path | None = None
    """None for the current folder."""


def load(
    document: str,
    environment: Mapping[str, str],
    flags: Mapping[str, object],
    file: str = "strongroom.toml",
    options: Mapping[str, str] = _NO_OPTIONS,
) -> Settings:
    """Return the settings; raises SettingsError, which tells the first of what is wrong. See ``find``."""
    found = find(document, environment, flags, file, options)
    if found.mistakes:
        first, *others = found.mistakes
        more = f" (and {len(others)} more: run strongroom config check)" if others else ""
        raise SettingsError(first.text + more)
    return found.settings


def find(
    document: str,
    environment: Mapping[str, str],
    flags: Mapping[str, object],
    file: str = "strongroom.toml",
    options: Mapping[str, str] = _NO_OPTIONS,
) -> FoundSettings:
    """Return the settings with their sources, and all that is wrong with them.

    ``document`` is the TOML text of ``file``, ``environment`` the process's variables, ``flags`` what the command line
    gave (None where it gave nothing), by options of other names than ``option_of`` for fields in ``options``. Names of
    files in the document are relative to the folder of ``file``.
    """
    mistakes = list[Mistake]()
    given = _in_file(document, file, mistakes) | _in_environment(environment, mistakes) | _in_flags(flags, options)
    values = dict[str, object]()
    unusable = set[str]()
    for name, each in given.items():
        field = FIELDS[name].name
        try:
            values[field] = value_of(name, resolved(name, each.value, each.folder))
        except SettingsError as error:
            mistakes.append(Mistake(name, f"{each.place} is not valid: {error}"))
            unusable.add(field)
    settings = msgspec.structs.replace(Settings(), **values)
    mistakes += mistakes_in(settings, unusable, lambda name: given[name].place)
    used = {name: each.source for name, each in given.items() if FIELDS[name].name not in unusable}
    sources = {name: used.get(name, Source()) for name in FIELDS}
    return FoundSettings(settings, sources, tuple(mistakes), tuple(variables_without_effect(environment)))


def _in_file(document: str, file: str, mistakes: list[Mistake]) -> dict[str, _Given]:
    try:
        found = _from_toml(document)
    except msgspec.DecodeError as error:
        mistakes.append(Mistake("", f"`{file}` is not valid TOML: {error}"))
        return {}
    lines = _lines_of(document)
    folder = Path(file).parent.absolute() if found else None
    given = dict[str, _Given]()
    for written, value in found.items():
        name = _ALSO.get(written, written)
        line = lines.get(written)
        place = f"`{written}` in `{file}`" + (f", line {line}," if line else "")
        if name not in FIELDS:
            suggestion = meant(written.lower().replace("_", "-"), FIELDS) or "; docs/settings.md has all settings"
            mistakes.append(Mistake("", f"{place} is no setting{suggestion}"))
        elif name in given:
            mistakes.append(Mistake(name, f"{place} is another name for `{name}`, which is there too; leave one out"))
        else:
            is_one = written in _ALSO and isinstance(value, str)
            source = Source(SourceKind.FILE, file, line)
            given[name] = _Given([value] if is_one else value, source, place, folder)
    return given


def _lines_of(document: str) -> dict[str, int]:
    """Return the numbers of the lines in which names are given values, and tables begin."""
    found = dict[str, int]()
    in_table = False
    for number, text in enumerate(document.splitlines(), 1):
        line = _LINE.match(text)
        if line is not None:
            in_table = in_table or line[1] is not None
            if line[1] is not None or not in_table:
                found.setdefault(line[2], number)
    return found


def _in_environment(environment: Mapping[str, str], mistakes: list[Mistake]) -> dict[str, _Given]:
    given = dict[str, _Given]()
    for written, name in [*zip(FIELDS, FIELDS, strict=True), *_ALSO.items()]:
        variable = _variable(written)
        text = environment.get(variable)
        if not text:
            continue
        if name in given:
            mistakes.append(
                Mistake(name, f"{variable} is another name for {_variable(name)}, which is set too; unset one of them")
            )
        value = [each.strip() for each in text.split(",")] if is_plain_list(name) else text
        given[name] = _Given(value, Source(SourceKind.ENVIRONMENT, variable), variable)
    return given


def _in_flags(flags: Mapping[str, object], options: Mapping[str, str]) -> dict[str, _Given]:
    given = dict[str, _Given]()
    for field, value in flags.items():
        if value is not None:
            name, option = field.replace("_", "-"), options.get(field) or option_of(field)
            given[name] = _Given(value, Source(SourceKind.COMMAND_LINE, option), option)
    return given


def option_of(field: str) -> str:
    """Return the option that gives a field of the settings its value, in the commands that have one for it."""
    name = field.replace("_", "-")
    return f"--{_OPTIONS.get(name, name)}"


def variables_without_effect(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence for each variable that is empty, or looks like a setting and is none."""
    for variable in sorted([CONFIG_VARIABLE, *map(_variable, (*FIELDS, *_ALSO))]):
        if environment.get(variable) == "":
            yield f"the variable {variable} is empty, and has no effect"
    for name, similar in unknown_variables(environment).items():
        suggestion = f"; the most similar setting is {similar}" if similar else ""
        yield f"the variable {name!a} is no setting, and has no effect{suggestion}"


def _variable(name: str) -> str:
    return _PREFIX + name.replace("-", "_").upper()


def changed(before: Settings, after: Settings) -> set[str]:
    """Return the names of the fields that differ."""
    old, new = msgspec.structs.asdict(before), msgspec.structs.asdict(after)
    return {name for name, value in new.items() if value != old[name]}


def reloaded(running: Settings, read: Settings) -> Settings:
    """Return the settings of a running server with what it can take on from those that were read anew.

    It goes on with TLS, or without: its clients know one URL.
    """
    names = RELOADED if (running.tls_cert is None) == (read.tls_cert is None) else RELOADED - _TLS_FILES
    new = msgspec.structs.asdict(read)
    return msgspec.structs.replace(running, **{name: new[name] for name in names})


def _from_toml(document: str) -> dict[str, object]:
    return cast("dict[str, object]", msgspec.toml.decode(document))


def unknown_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that look like settings and are none, each with the most similar one that is, or nothing."""
    known = [each.removeprefix(_PREFIX) for each in (CONFIG_VARIABLE, *map(_variable, (*FIELDS, *_ALSO)))]
    names = sorted(name.removeprefix(_PREFIX) for name in environment if name.startswith(_PREFIX))
    unknown = {name: get_close_matches(name, known, 1) for name in names if name not in known}
    return {_PREFIX + name: _PREFIX + similar[0] if similar else "" for name, similar in unknown.items()}


def require_listener(settings: Settings) -> None:
    """Raise SettingsError unless it can be listened on the address with this TLS."""
    for each in listener_mistakes(settings):
        raise SettingsError(each.text)
