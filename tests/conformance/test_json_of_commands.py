"""The JSON of commands: what there is none of is null, as docs/commands.md says."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from warm_commands import command

CONFIG = """
data = "{folder}/data"
[[events]]
to = "file:{folder}/events.jsonl"
[[audit-ship]]
to = "folder:{folder}"
"""
COMMANDS = (
    ("events", "status"),
    ("audit", "shipping"),
    ("audit", "writers"),
    ("seal", "status"),
    ("seal", "test"),
    ("account", "list"),
    ("domain-keys", "status"),
)


def empty_texts(document: object, place: str = "") -> Iterator[str]:
    """Yield where a document has an empty text."""
    if document == "":
        yield place
    members: Iterable[tuple[object, object]] = ()
    if isinstance(document, dict):
        members = document.items()
    elif isinstance(document, list):
        members = enumerate(document)
    for name, value in members:
        yield from empty_texts(value, f"{place}/{name}")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("json")
    path = folder / "strongroom.toml"
    path.write_text(CONFIG.format(folder=folder))
    made = command("init", "--config", str(path))
    assert made.returncode == 0, made.stderr
    # Its record is the first of the audit log.
    made = command("account", "create", "111122223333", "--config", str(path))
    assert made.returncode == 0, made.stderr
    return path


@pytest.mark.parametrize("asked", COMMANDS, ids=" ".join)
def test_what_there_is_none_of_is_null(config: Path, asked: tuple[str, ...]) -> None:
    done = command(*asked, "--json", "--config", str(config))
    assert done.stdout, done.stderr
    lines = [done.stdout] if done.stdout[0] == "[" or "\n " in done.stdout else done.stdout.splitlines()
    assert [*empty_texts([json.loads(line) for line in lines])] == []


def test_a_mistake_that_is_in_no_setting_has_none(tmp_path: Path) -> None:
    path = tmp_path / "strongroom.toml"
    path.write_text('regoin = "x"\n')
    done = command("config", "check", "--json", "--config", str(path))
    (mistake,) = json.loads(done.stdout)["mistakes"]
    assert mistake["setting"] is None
    assert "`regoin`" in mistake["text"]


def test_the_times_of_what_has_not_happened_are_null(config: Path) -> None:
    done = command("events", "status", "--json", "--config", str(config))
    (found,) = json.loads(done.stdout)["destinations"]
    assert [found[name] for name in ("failing", "since", "last_sent", "at")] == [None] * 4
