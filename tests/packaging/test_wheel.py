"""The wheel is whole: installed alone, with what it declares and nothing else, it is the product."""

import importlib.metadata
import json
import re
import subprocess
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from built_wheel import ROOT, Installed, build, install, tracked_sources
from clients import client_of
from local_server import RunningServer, environment_of
from strongroom import __version__

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OF_A_CHECKOUT = {"build", "demo", "dev", "fuzz", "packaging", "bench"}
EXTRAS: dict[str, list[str]] = {
    name: needed for name, needed in PROJECT["optional-dependencies"].items() if name not in OF_A_CHECKOUT
}
"""What a user can install beside the rest, with its requirements."""

IMPORT_ALL = """
import importlib, json, pkgutil, strongroom
missing = {}
for module in pkgutil.walk_packages(strongroom.__path__, "strongroom."):
    # They run when they are imported: they are Alembic's.
    if ".migrations." in module.name or module.name == "strongroom.__main__":
        continue
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as error:
        missing[module.name] = error.name.partition(".")[0]
print(json.dumps([strongroom.__file__, missing]))
"""


def modules_of_extras() -> set[str]:
    """Return the names under which what the extras bring is imported."""
    named = {re.split(r"[^\w.-]", each)[0] for needed in EXTRAS.values() for each in needed}
    distributions = {each.lower().replace("_", "-") for each in named}
    found = importlib.metadata.packages_distributions()
    brought = {
        module for module, names in found.items() if distributions & {each.lower().replace("_", "-") for each in names}
    }
    # What is not installed here has the name of its distribution.
    return brought | {each.replace("-", "_") for each in distributions}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build(ROOT, folder, "sdist", "wheel")
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (found,) = built.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return install(wheel, tmp_path_factory.mktemp("installed") / "environment")


@pytest.fixture
def server(installed: Installed, tmp_path: Path) -> Iterator[RunningServer]:
    command: list[str | Path] = [installed.command, "serve", "--listen", "127.0.0.1:0", "--workers", "1"]
    with (
        (tmp_path / "log").open("w") as log,
        subprocess.Popen(
            command, cwd=tmp_path, env=installed.environment, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        try:
            yield RunningServer(process, environment_of(process.stdout or ()))
        finally:
            if process.poll() is None:
                process.kill()


def test_every_file_of_the_package_is_in_the_wheel(wheel: Path) -> None:
    sources = tracked_sources()
    assert "strongroom/store/sqlite/migrations/versions/0001_initial.py" in sources
    assert "strongroom/store/postgresql/migrations/versions/0015_baseline.py" in sources
    assert "strongroom/crypto/self_tests/vectors.json" in sources
    with zipfile.ZipFile(wheel) as archive:
        assert sources - set(archive.namelist()) == set()


def test_the_source_distribution_makes_the_same_wheel(built: Path, wheel: Path, tmp_path: Path) -> None:
    (source,) = built.glob("*.tar.gz")
    subprocess.run(["tar", "-xzf", source, "-C", tmp_path], check=True)
    build(tmp_path / f"strongroom-{__version__}", tmp_path / "again", "wheel")
    assert (tmp_path / "again" / wheel.name).read_bytes() == wheel.read_bytes()


def test_modules_need_nothing_but_what_is_declared(installed: Installed) -> None:
    place, missing = json.loads(installed.run(installed.python, "-c", IMPORT_ALL))
    assert Path(place).is_relative_to(installed.folder)
    assert set(missing.values()) <= modules_of_extras()


def test_the_installed_command_serves(installed: Installed, server: RunningServer, tmp_path: Path) -> None:
    assert installed.run(installed.command, "--version") == f"strongroom, version {__version__}\n"
    assert "Serve until SIGTERM" in installed.run(installed.command, "--help")
    listen = server.endpoint.removeprefix("http://")
    assert installed.run(installed.command, "ready", "--listen", listen) == "ok\n"
    kms = client_of(server)
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    blob = kms.encrypt(KeyId=key, Plaintext=b"hello")["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"hello"
    assert server.stop() == 0
    assert "The log is whole." in installed.run(
        installed.command, "audit", "verify", "--data", str(tmp_path / "strongroom-data")
    )


def test_the_manual_page_and_the_units_are_installed(installed: Installed) -> None:
    assert (installed.folder / "share" / "man" / "man1" / "strongroom.1").is_file()
    for each in (ROOT / "deploy" / "systemd").iterdir():
        assert (installed.folder / "share" / "strongroom" / each.name).read_bytes() == each.read_bytes()


def test_the_pages_that_help_and_messages_name_are_installed(installed: Installed) -> None:
    there = installed.folder / "share" / "doc" / "strongroom"
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    named = set(re.findall(r"docs/[\w-]+\.md", sources))
    assert "docs/commands.md" in named
    for name in (*sorted(named), "README.md", "CHANGELOG.md"):
        assert (there / name).read_bytes() == (ROOT / name).read_bytes()


def test_every_extra_is_documented() -> None:
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    assert all(EXTRAS.values()), "an extra without requirements is of no use"
    assert set(re.findall(r"^\| `([\w-]+)` \|", page, re.MULTILINE)) == set(EXTRAS)
