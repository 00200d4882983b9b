"""Fields are read by name, so that a type checker sees a renamed one; and ARNs are taken apart in one module."""

import ast
from collections.abc import Iterator
from pathlib import Path

SOURCES = Path(__file__).parents[2] / "src" / "strongroom"

BY_STRING = {
    "api/aws_query.py": "writes any response: the names are those that the response type declares",
    "audit/parameters.py": "records any request: the names are those that the request type declares",
    "crypto/seals/kms.py": "calls an operation of a client that botocore makes, and has no types for",
    "store/sql/row_codes.py": "gives rows of any table their codes: the names are the columns of the table",
    "store/sql/row_guard.py": "names a row of any table by its primary key",
    "store/sql/row_walk.py": "orders rows of any table by the columns that it is given",
    "telemetry/logs.py": "a log record has this attribute only where the call that logged it passed one along",
}
"""Where an attribute is read by a name in a string, and why that is right there."""

AT_COLONS = {
    "arns.py": "the parser of ARNs",
    "iam/principals.py": "the user id of a role session: ROLE-ID:SESSION",
    "operations/iam/granted_services.py": "a pattern of actions: SERVICE:NAME",
    "settings.py": "an address to listen at: HOST:PORT",
}
"""Where text is split at a colon, and what it is."""


def calls(source: str) -> Iterator[ast.Call]:
    return (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))


def reads_by_string(source: str) -> bool:
    names = {"getattr", "setattr", "hasattr", "delattr"}
    return any(isinstance(call.func, ast.Name) and call.func.id in names for call in calls(source))


def splits_at_colons(source: str) -> bool:
    names = {"split", "rsplit", "partition", "rpartition"}
    return any(
        isinstance(call.func, ast.Attribute)
        and call.func.attr in names
        and bool(call.args)
        and isinstance(call.args[0], ast.Constant)
        and call.args[0].value == ":"
        for call in calls(source)
    )


def texts() -> dict[str, str]:
    return {path.relative_to(SOURCES).as_posix(): path.read_text(encoding="utf-8") for path in SOURCES.rglob("*.py")}


def test_attributes_are_read_by_name_and_not_by_string() -> None:
    assert {path for path, text in texts().items() if reads_by_string(text)} == set(BY_STRING)


def test_arns_are_taken_apart_in_one_module() -> None:
    assert {path for path, text in texts().items() if splits_at_colons(text)} == set(AT_COLONS)


def test_the_checks_find_what_they_look_for() -> None:
    assert reads_by_string('getattr(request, "tags", None)')
    assert reads_by_string('getattr(request, f"{kind}_name")')
    assert not reads_by_string("request.tags")
    assert splits_at_colons('arn.split(":")[4]')
    assert splits_at_colons('arn.rpartition(":")[2]')
    assert not splits_at_colons('path.split("/")')
