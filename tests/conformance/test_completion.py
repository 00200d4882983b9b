"""A shell that has read the script of `strongroom completion` completes commands and options."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from programs import program, unmeasured

BASH = """
eval "$(strongroom completion bash)"
COMP_WORDS=(strongroom {words}) COMP_CWORD={count}
_strongroom_completion strongroom
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
FISH = 'strongroom completion fish | source; complete --do-complete "strongroom {words}"'


def run(*command: str) -> list[str]:
    """Run a shell that finds our command; return the words that its output has first in each line."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = unmeasured({**os.environ, "PATH": path})
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True, timeout=60)
    return [line.split("\t")[0] for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("ser", {"serve", "service"}),
        ("audit ver", {"verify"}),
        ("audit search --pri", {"--principal"}),
        ("completion ", {"bash", "fish", "zsh"}),
    ],
)
def test_bash_completes(words: str, expected: set[str]) -> None:
    count = len(words.split(" "))
    assert set(run("bash", "--norc", "-c", BASH.format(words=words, count=count))) == expected


def test_zsh_and_fish_can_read_their_scripts(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("\n".join(run("strongroom", "completion", "zsh")))
    subprocess.run([program("zsh", "zsh"), "-n", script], check=True)
    assert set(run(program("fish", "fish"), "-c", FISH.format(words="ser"))) == {"serve", "service"}
