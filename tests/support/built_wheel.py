"""A wheel of this checkout, and an environment where it is installed with its declared dependencies alone.

Nothing is fetched: the dependencies are linked from the environment of the tests, where they have the locked versions.
"""

import importlib.metadata
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
_UV = Path(sys.executable).with_name("uv")


def build(source: Path, to: Path, *targets: str) -> None:
    """Build distributions of a source tree, with the build backend that is installed here."""
    options = [option for target in targets for option in ("--target", target)]
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--directory", to, *options],
        cwd=source,
        check=True,
        stdout=subprocess.DEVNULL,
    )


class Installed:
    """An environment with a wheel in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "bin" / "python"
        self.command = folder / "bin" / "strongroom"

    def run(self, *command: str | Path) -> str:
        """Run a command outside of the checkout, without its variables; return what it prints."""
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, check=True, stdout=subprocess.PIPE, text=True, timeout=180
        )
        return done.stdout

    @property
    def environment(self) -> dict[str, str]:
        """A user's environment: a home folder and a path, and nothing of Python's."""
        return {"HOME": str(self.folder), "PATH": f"{self.folder / 'bin'}:/usr/bin:/bin", "LC_ALL": "C.UTF-8"}


def install(wheel: Path, folder: Path) -> Installed:
    """Make an environment, link the locked dependencies into it, and install the wheel without an index."""
    _uv("venv", "--python", sys.executable, folder)
    installed = Installed(folder)
    packages = folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    for entry in _entries_of_dependencies():
        link = packages / entry.name
        if not link.exists():
            link.symlink_to(entry)
    _uv("pip", "install", "--no-index", "--no-deps", "--python", installed.python, wheel)
    return installed


def _uv(*arguments: str | Path) -> None:
    subprocess.run([_UV, *arguments, "--offline", "--no-config", "--quiet"], check=True)


def _entries_of_dependencies() -> Iterator[Path]:
    """Yield the files and folders at the top of site-packages that belong to the locked runtime requirements."""
    packages = Path(sysconfig.get_path("purelib"))
    locked = (ROOT / "requirements" / "runtime.txt").read_text(encoding="utf-8")
    for name in re.findall(r"^([\w.-]+)==", locked, re.MULTILINE):
        try:
            files = importlib.metadata.distribution(name).files or []
        except importlib.metadata.PackageNotFoundError:
            # The lock is for every platform.
            continue
        tops = {file.parts[0] for file in files} - {"..", "__pycache__"}
        yield from (packages / top for top in sorted(tops))


def tracked_sources() -> set[str]:
    """Return the files of the package that git knows, as paths in a wheel."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "strongroom"], cwd=ROOT / "src", check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    return set(listed.split("\0")) - {""}
