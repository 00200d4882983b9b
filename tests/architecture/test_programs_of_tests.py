"""The Makefile installs the Debian packages of all tests before they run: meanwhile, commits to the disk wait."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
RECIPES = (TESTS.parent / "Makefile").read_text().partition("\ntest-hardware:")[0]


def packages_in(source: str) -> Iterator[str]:
    """Yield the packages of calls of ``programs.program`` and ``programs.installed``, and of ``tools/apt``."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Name("program" | "installed"), args=[_, ast.Constant(str(package))]):
                yield package
            case ast.List(elts=[ast.Name("APT" | "_APT"), *names]):
                yield from (str(each.value) for each in names if isinstance(each, ast.Constant))
            case _:
                pass


PACKAGES = sorted({package for path in TESTS.rglob("*.py") for package in packages_in(path.read_text())})


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_is_installed_before_all_tests(package: str) -> None:
    assert re.search(rf"(?<![\w-]){re.escape(package)}(?![\w-])", RECIPES)


def test_packages_are_found() -> None:
    source = 'program("a", "b")\ninstalled("/c", "d")\nrun([APT, "e"])\nprogram("f", g)\n'
    assert set(packages_in(source)) == {"b", "d", "e"}
    assert "golang-go" in PACKAGES
