"""The rules of the architecture: layers, file sizes, and statements of the README."""

import re
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
OTHERS = sorted(path for folder in ("tests", "bench", "demo") for path in (ROOT / folder).rglob("*.py"))
MAX_LINES = 400
MAX_MEDIAN = 150


def test_imports_point_down() -> None:
    tool = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([tool, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_no_file_is_long_and_most_are_short() -> None:
    sizes = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in (*SOURCES, *OTHERS)}
    assert len(sizes) > 500
    assert {path: size for path, size in sizes.items() if size > MAX_LINES} == {}
    assert statistics.median(sizes[path] for path in SOURCES) < MAX_MEDIAN


def test_requirements_are_locked_by_hash_and_name_no_index() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        text = path.read_text(encoding="utf-8")
        assert "://" not in text, path
        assert text.count("==") <= text.count("--hash=sha256:"), path


def test_the_readme_shows_the_options_that_serve_has() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "strongroom", "serve", "--help"], capture_output=True, text=True, check=True
    )
    synopsis = (ROOT / "README.md").read_text(encoding="utf-8").split("strongroom serve [", 1)[1].split("```")[0]
    options = set(re.findall(r"--[a-z-]+", synopsis))
    assert options
    assert options <= set(re.findall(r"--[a-z-]+", done.stdout))
