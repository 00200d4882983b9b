"""The walks of ARCHITECTURE.md: each lists the files that one request passes, and misses none."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "ARCHITECTURE.md"


def files_of(operation: str) -> list[str]:
    """Return the files that the page lists for an operation, in order."""
    return re.findall(r"`([a-z_/0-9]+\.py)`", section_of(operation))


def section_of(operation: str) -> str:
    section = re.search(
        rf"^### One {operation}\n(.*?)(?=^##|^A refused)", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    assert section is not None, operation
    return section[1]


def test_the_walks_list_the_files_that_requests_pass(tmp_path: Path) -> None:
    support = ROOT / "tests" / "support"
    environment = {**os.environ, "PYTHONPATH": f"{support}:{ROOT / 'tools'}"}
    program = [sys.executable, str(support / "walks.py"), str(tmp_path / "data")]
    done = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout)
    # Encrypt stays on the event loop. In the other two, a thread runs beside it: their order varies a little.
    assert files_of("Encrypt") == found["Encrypt"]
    for operation, files in found.items():
        assert sorted(files_of(operation)) == sorted(files), operation
        assert f"\n{len(files)} files" in section_of(operation)
