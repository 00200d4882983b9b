"""The table of what commands record has every event that the code makes, beside its command, and nothing else."""

import ast
import importlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

from command_tree import commands

COMMANDS = dict(commands())
ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "strongroom"
PAGE = "audit-log.md"
HEADING = "## Records of commands"

BY_ITSELF = "keeper"
"""What is named in the place of a command where the server acts by itself. The same events are those of a command."""

UNRECORDED = {
    "serve": "it is the server: its calls have records of their own",
    "dev": "the same, of temporary data",
    "xks-proxy serve": "the same, of another listener",
    "init": "what a first start makes has no record: the text says so",
    "database migrate": "it has no data folder, and so no chain: the text says so",
    "migrate-ciphertexts": "it is a client: what it calls is recorded",
    "events test": "it sends, and changes nothing here",
    "audit fetch": "it writes copies, beside the deployment",
}
"""Commands that leave no event of their own although they make, send or write something, with the reason."""

READING = {
    *("account list", "service list", "config check", "config show", "keys", "explain", "who-can", "nodes", "ready"),
    *("audit search", "audit verify", "audit writers", "audit public-key", "audit shipping", "backup verify"),
    *("clock status", "completion", "doctor", "domain-keys status", "events status", "hsm status"),
    *("seal status", "seal test", "xks-proxy list", "xks-proxy credential list", "xks-proxy key list"),
}
"""Commands that change nothing."""


@cache
def trees() -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in SOURCE.rglob("*.py")}


@cache
def module_of(path: Path) -> ModuleType:
    return importlib.import_module(".".join(path.relative_to(SOURCE.parent).with_suffix("").parts))


@cache
def events() -> frozenset[tuple[str, str]]:
    """Return the name and the command of each event that the code can make."""
    return frozenset(_events())


def _events() -> Iterator[tuple[str, str]]:
    for path, tree in trees().items():
        if not any(calls_in(tree, "OperatorEvent")):
            continue
        for function in ast.walk(tree):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for made in calls_in(function, "OperatorEvent"):
                given = {each.arg: each.value for each in made.keywords}
                for bound in bindings(path, function, given["name"], given["command"]):
                    yield text_of(given["name"], path, bound), text_of(given["command"], path, bound)


def calls_in(tree: ast.AST, name: str) -> Iterator[ast.Call]:
    for each in ast.walk(tree):
        if isinstance(each, ast.Call):
            called = each.func
            if name == (called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")):
                yield each


def bindings(path: Path, function: ast.FunctionDef | ast.AsyncFunctionDef, *used: ast.expr) -> Iterator[dict[str, str]]:
    """Yield what the parameters of a function that are ``used`` can be: by default, and in each call of it."""
    names = {each.id for expression in used for each in ast.walk(expression) if isinstance(each, ast.Name)}
    arguments = function.args
    plain = [each.arg for each in arguments.args if each.arg != "self"]
    is_private = function.name.startswith("_")
    is_method = arguments.args and arguments.args[0].arg == "self"
    wanted = names & {*plain, *(each.arg for each in arguments.kwonlyargs)}
    defaults = {
        each.arg: default
        for each, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        if each.arg in wanted and default is not None
    }
    if wanted == defaults.keys():
        yield {name: text_of(default, path, {}) for name, default in defaults.items()}
    for caller, tree in trees().items() if wanted else ():
        if caller == path or (not is_private and (is_method or imports(tree, function.name))):
            for call in calls_in(tree, function.name):
                given = dict(zip(plain, call.args, strict=False)) | {each.arg: each.value for each in call.keywords}
                if wanted <= given.keys():
                    yield {name: text_of(given[name], caller, {}) for name in wanted}


def imports(tree: ast.Module, function: str) -> bool:
    return any(
        isinstance(each, ast.ImportFrom) and function in {alias.name for alias in each.names} for each in ast.walk(tree)
    )


def text_of(expression: ast.expr, path: Path, bound: dict[str, str]) -> str:
    """Return the text of an expression in a module, with what parameters are ``bound`` to."""
    match expression:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(text_of(each, path, bound) for each in values)
        case ast.FormattedValue(value=value):
            return text_of(value, path, bound)
        case ast.Name(id=name):
            found = bound[name] if name in bound else getattr(module_of(path), name)
            assert isinstance(found, str)
            return found
        case _:
            raise AssertionError(f"{path}: {ast.unparse(expression)} is no text that can be read in the source")


def documented() -> set[tuple[str, str]]:
    """Return the events of the table with their commands; a row names the events in the order of its commands."""
    section = (ROOT / "docs" / PAGE).read_text(encoding="utf-8").partition(f"\n{HEADING}\n")[2]
    table = section.partition("| Command | Event |\n")[2].partition("\n\n")[0]
    found = set()
    for cell, text in re.findall(r"^\| (`.*?`) \| (.*) \|$", table, re.MULTILINE):
        names = re.findall(r"`([a-z][a-z -]*)`", cell)
        # The second and later ones may leave out what they have in common with the first.
        full = [name if name in COMMANDS else f"{names[0].rpartition(' ')[0]} {name}" for name in names]
        each = re.findall(r"`([A-Z]\w+)`", text)
        if len(full) == 1:
            found |= {(event, full[0]) for event in each}
        else:
            found |= set(zip(each, full, strict=True))
    return found


def test_the_table_has_every_event_with_its_command() -> None:
    assert documented() == {(event, command) for event, command in events() if command != BY_ITSELF}
    assert {event for event, command in events() if command == BY_ITSELF} <= {event for event, _ in documented()}


def test_every_event_is_that_of_a_command() -> None:
    assert {command for _, command in events()} <= {*COMMANDS, BY_ITSELF}


def test_every_command_that_changes_something_leaves_an_event() -> None:
    recorded = {command for _, command in events()} - {BY_ITSELF}
    assert recorded | READING | UNRECORDED.keys() == set(COMMANDS)
    assert not recorded & (READING | UNRECORDED.keys())
    assert not READING & UNRECORDED.keys()
