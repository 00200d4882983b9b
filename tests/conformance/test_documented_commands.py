"""Every command of the documents is run as it is written, in a fresh clone, by a newcomer.

The clone has the files that git knows; the home folder is empty, and the environment has nothing of AWS. What cannot be
run is in ``LEFT_OUT``, with the reason; a block that is neither run nor there fails.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from child_processes import killed
from strongroom.cli.main import main

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "RELEASING.md",
    "SECURITY.md",
    *(f"docs/{p.name}" for p in ROOT.glob("docs/*.md")),
)
EDITABLE = "_editable_impl_strongroom.pth"
SERVED = {"README.md", "docs/identities.md", "docs/moving-in.md", "docs/xks-proxy.md"}
ACTIVATED = {"docs/testing.md"}
"""Pages for a shell whose PATH has the virtual environment."""
DECISIONS = tuple(f"docs/adr/{path.name}" for path in ROOT.glob("docs/adr/*.md"))

PATIENCE = 150
"""Seconds for the commands of a page."""

LOAD = "loads the machine for minutes"
SUITE = "runs this test, or much of the suite it belongs to"
CHANGE = "a step of a change that the reader makes to the source"
RELEASE = "makes a release: it needs the keys of the maintainer"
PLACEHOLDERS = "a synopsis; its commands and options are compared with the command line below"
SHIPPED = "needs a shipped log; tests/conformance/test_audit_shipping.py runs it"
FILE = "a file of AWS clients; tests/conformance/test_fixed_credentials.py has its like"
RELOCATED = "test_moves_between_databases.py moves a deployment, and names a role and a host here"
BACKED_UP = "needs age and a server's data folder; tests/conformance/test_backups.py runs the same"
MANIFEST = "a part of a manifest of Kubernetes; its paths and times are those of the text"
SENT = "needs destinations of events; test_events.py runs it"
AN_EVENT = "an event; its shape is that of tests/unit/events/test_key_events.py"
LOADED = "settings; tests/architecture/test_documents.py loads them"

ROTATED = "run in tests/crash/test_domain_key_kill.py"
EXAMINED = "test_doctor.py runs it on data folders in all states"
DAMAGED = "test_database_set_back.py runs it on a damaged data folder"
TPM = "needs a TPM; test_tpm_seal.py does it with one in software"
CLOUD = "needs a KMS key elsewhere; test_seals.py does it with another server"
PROXY = "needs an external key store proxy; test_aws_cli.py does it with one"
MOVED = "needs a server with keys; test_moves_into_tokens.py runs the same"
OPENSSL = "a file for OpenSSL; test_fips.py uses it"
SERVES = "serves until it is stopped; test_xks_proxy_operation.py does"
OF_TOKEN = "names an object of a token; test_token_objects.py runs it"
IN_DEVELOPMENT = "test_development_server.py does the same"
INSTALLS = "installs it with pip, from an index"
REAL_AWS = "needs an account of AWS"
DATABASE = "for a database server; tests/support/postgresql.py sets the same limits, and connects"
OF_NODES = "needs several nodes; test_nodes_command.py and test_audit_of_nodes.py run the same"
INSTALLED = "installs what is built; tests/packaging/test_wheel.py does it without an index"
AS_ROOT = "changes the machine, as root, under systemd"
UNIT = "a part of a unit of systemd"
ENGINE = "needs a container engine; tests/packaging/test_container.py says what is checked"
CLUSTER = "needs a cluster of Kubernetes; tests/packaging/test_chart.py renders the chart"
SET_UP = "needs a database server; tests/conformance/test_postgresql.py runs the same"
LISTED = "needs keys and a log; test_keys_command.py and test_audit_commands.py run the same"
CONFIGURED = "tests/unit/cli/test_config.py runs it on settings of all kinds"
FOUNDED = "makes a deployment in /srv; test_first_administrator.py does it elsewhere"
OTHERS = "settings and commands of other programs; tests/conformance/third_party has those that are run"
SEEDED = "serves until it is stopped; test_seeded_server.py starts one with a seed file, and uses the tags"

LEFT_OUT = {
    ("docs/works-with.md", ""): OTHERS,
    ("docs/commands.md", "strongroom keys"): LISTED,
    ("docs/audit-log.md", "strongroom audit search"): LISTED,
    ("docs/running.md", "strongroom init"): FOUNDED,
    ("docs/settings.md", "strongroom config"): CONFIGURED,
    ("docs/moving-in.md", "strongroom dev --seed"): SEEDED,
    ("docs/moving-in.md", "aws kms create-key --tags"): SEEDED,
    ("docs/moving-in.md", "strongroom import aws --profile production"): REAL_AWS,
    ("docs/moving-in.md", "strongroom migrate-ciphertexts FILE"): PLACEHOLDERS,
    ("docs/hardware.md", "strongroom hsm destroy"): OF_TOKEN,
    ("docs/audit-shipping.md", "[[audit-ship]]"): LOADED,
    ("docs/events.md", "[[events]]"): LOADED,
    ("docs/events.md", "strongroom events test"): SENT,
    ("docs/events.md", "{"): AN_EVENT,
    ("docs/audit-shipping.md", "strongroom audit fetch"): SHIPPED,
    ("docs/audit-shipping.md", "strongroom audit verify"): SHIPPED,
    ("docs/install.md", "python3 -m venv ~/strongroom"): INSTALLED,
    ("docs/install.md", "python3 -m venv /opt/strongroom"): AS_ROOT,
    ("docs/install.md", "cd /etc/strongroom"): AS_ROOT,
    ("docs/install.md", "systemctl enable"): AS_ROOT,
    ("docs/install.md", "install -m 644"): AS_ROOT,
    ("docs/install.md", "data ="): LOADED,
    ("docs/install.md", "[Service]"): UNIT,
    ("docs/install.md", "make image"): ENGINE,
    ("docs/install.md", "docker compose up"): ENGINE,
    ("docs/install.md", "export STRONGROOM_DB_PASSWORD"): ENGINE,
    ("docs/install.md", "helm install kms"): CLUSTER,
    ("docs/install.md", 'tls="sslmode'): CLUSTER,
    ("docs/install.md", "replicas: 3"): CLUSTER,
    ("README.md", "strongroom serve [--data DIR]"): PLACEHOLDERS,
    ("README.md", "strongroom account create ID"): PLACEHOLDERS,
    ("README.md", "strongroom dev"): PLACEHOLDERS,
    ("docs/testing.md", "strongroom dev"): SERVES,
    ("docs/testing.md", "pip install"): INSTALLS,
    ("docs/testing.md", "curl"): IN_DEVELOPMENT,
    ("README.md", "strongroom database migrate --store ADDRESS"): PLACEHOLDERS,
    ("README.md", "strongroom audit verify [--public-key FILE]"): PLACEHOLDERS,
    ("README.md", "strongroom backup [--to FILE|FOLDER]"): PLACEHOLDERS,
    ("docs/backups.md", "age-keygen -o"): BACKED_UP,
    ("docs/databases.md", 'strongroom database migrate --store "postgresql'): RELOCATED,
    ("CONTRIBUTING.md", '"""GetContextKeysForCustomPolicy'): CHANGE,
    ("CONTRIBUTING.md", "(\n"): CHANGE,
    ("CONTRIBUTING.md", ".venv/bin/python -m pytest -q"): CHANGE,
    ("CONTRIBUTING.md", '"GetContextKeysForCustomPolicy"'): CHANGE,
    ("CONTRIBUTING.md", "def test_the_condition_keys"): CHANGE,
    ("CONTRIBUTING.md", '"aws:'): CHANGE,
    ("RELEASING.md", ".ci/run"): SUITE,
    ("RELEASING.md", "python3 -m venv /tmp/wheel"): RELEASE,
    ("RELEASING.md", "(cd dist &&"): RELEASE,
    ("docs/audit-log.md", "strongroom audit archive"): PLACEHOLDERS,
    ("docs/operations.md", "strongroom doctor"): EXAMINED,
    ("docs/operations.md", "strongroom domain-keys"): ROTATED,
    ("docs/operations.md", "strongroom nodes"): OF_NODES,
    ("docs/audit-log.md", "strongroom audit verify --from"): OF_NODES,
    ("docs/performance.md", "make bench"): LOAD,
    ("docs/seals.md", "strongroom seal add machine tpm"): TPM,
    ("docs/reliability.md", "make faults"): LOAD,
    ("docs/reliability.md", "make fuzz"): LOAD,
    ("docs/hardware.md", "strongroom domain-keys"): MOVED,
    ("docs/identities.md", "[[identity-provider"): LOADED,
    ("docs/identities.md", "trusted-proxies ="): LOADED,
    ("docs/running.md", "[default]"): FILE,
    ("docs/running.md", "livenessProbe"): MANIFEST,
    ("docs/running.md", "strongroom database accept-older"): DAMAGED,
    ("docs/seals.md", "strongroom seal status"): PLACEHOLDERS,
    ("docs/seals.md", "strongroom seal add safe"): CLOUD,
    ("docs/seals.md", "seal-passphrase-file"): LOADED,
    ("docs/seals.md", '{"Condition"'): CLOUD,
    ("docs/FIPS.md", "openssl_conf"): OPENSSL,
    ("docs/custom-key-stores.md", "[[xks-proxies]]"): LOADED,
    ("docs/custom-key-stores.md", "aws kms create-custom-key-store"): PROXY,
    ("docs/custom-key-stores.md", "[[cloudhsm-clusters]]"): LOADED,
    ("docs/settings.md", "[[request-quotas]]"): LOADED,
    ("docs/databases.md", "postgresql://strongroom_serve"): DATABASE,
    ("docs/databases.md", "CREATE ROLE strongroom_owner"): DATABASE,
    ("docs/databases.md", "strongroom database migrate --store"): SET_UP,
    ("docs/databases.md", "store ="): LOADED,
    ("docs/databases.md", "strongroom database accept-older"): SET_UP,
    ("docs/xks-proxy.md", "strongroom xks-proxy serve"): SERVES,
    ("docs/xks-proxy.md", "aws kms create-custom-key-store"): REAL_AWS,
    ("docs/settings.md", "cors-origins ="): LOADED,
}
"""Blocks that are not run, by the page and their beginning."""

LINES_LEFT_OUT = {
    ("README.md", "make test"): SUITE,
    ("CONTRIBUTING.md", ".venv/bin/python -m pytest tests/unit tests/contract -k grant"): SUITE,
}
"""Commands of other blocks that are not run, in the same way."""


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: str
    language: str
    text: str

    @property
    def left_out(self) -> bool:
        return any(page == self.page and self.text.startswith(start) for page, start in LEFT_OUT)

    @property
    def script(self) -> str:
        """The block as commands of a shell."""
        if self.language == "python":
            return f"python - <<'END'\n{self.text}END\n"
        lines = self.text.splitlines(keepends=True)
        return "".join(line for line in lines if not line.startswith(tuple(self._lines_left_out())))

    def _lines_left_out(self) -> list[str]:
        return [start for page, start in LINES_LEFT_OUT if page == self.page]


def blocks_of(page: str) -> list[Block]:
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(r"^( *)```(\w*)\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL)
    return [Block(page, language, textwrap.dedent(body)) for _, language, body in found]


SERVE = Block("README.md", "sh", "make serve\n")
"""What the fixture ``served`` runs."""


def script_of(page: str) -> str:
    return "".join(block.script for block in blocks_of(page) if not block.left_out and block != SERVE)


class Clone:
    """A fresh clone, and the shells that a newcomer opens in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "strongroom"
        tracked = subprocess.run(
            ["/usr/bin/git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            check=True,
            stdout=subprocess.PIPE,
        )
        for name in filter(None, tracked.stdout.decode().split("\0")):
            if (ROOT / name).exists():
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.folder / name)
        self._make_environment()
        (folder / "home").mkdir()
        # The port of the README may be taken by another test.
        self.environment = {
            "HOME": str(folder / "home"),
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "STRONGROOM_LISTEN": "127.0.0.1:0",
            # The environment is shared with these tests, so nothing may be installed into it from here.
            "PIP_DRY_RUN": "1",
            "PIP_NO_INDEX": "1",
        }

    def _make_environment(self) -> None:
        """Make a virtual environment that `tools/venv` finds ready: this one's packages, and the clone's own source.

        The packages are links, so a command that installs into the environment leaves the one of the tests alone.
        """
        used, own = Path(sys.prefix), self.folder / ".venv"
        (own / "bin").mkdir(parents=True)
        for name in ("pyvenv.cfg", ".strongroom-dev"):
            shutil.copy2(used / name, own / name)
        for command in (used / "bin").iterdir():
            if command.is_symlink():
                (own / "bin" / command.name).symlink_to(command.readlink())
            elif command.is_file() and command.read_bytes().startswith(b"#!"):
                copy = Path(shutil.copy2(command, own / "bin"))
                copy.write_bytes(copy.read_bytes().replace(bytes(used), bytes(own)))
        packages = Path(sysconfig.get_path("purelib"))
        of_clone = own / packages.relative_to(used)
        of_clone.mkdir(parents=True)
        for package in packages.iterdir():
            if package.name != EDITABLE:
                (of_clone / package.name).symlink_to(package)
        (of_clone / EDITABLE).write_text(str(self.folder / "src"))

    def run(self, script: str) -> str:
        """Run a script that must succeed and say nothing on standard error; return its output."""
        with (
            subprocess.Popen(
                ["/bin/sh", "-eu", "-c", script],
                env=self.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            ) as process,
            # Not the shell alone, but all that it has started.
            killed(process, group=True),
        ):
            printed, complaints = process.communicate(timeout=PATIENCE)
        assert (process.returncode, complaints) == (0, ""), f"{script}\n{printed}"
        return printed


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    return Clone(tmp_path_factory.mktemp("newcomer"))


@pytest.fixture(scope="module")
def served(clone: Clone) -> Iterator[Clone]:
    """The clone while ``make serve`` runs in another shell."""
    with (
        (clone.folder.parent / "log").open("w") as log,
        subprocess.Popen(
            ["/usr/bin/make", "serve"],
            env=clone.environment,
            cwd=clone.folder,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        ) as process,
        killed(process, group=True),
    ):
        assert process.stdout is not None
        assert any(line.startswith(". ") for line in process.stdout)
        yield clone
        os.killpg(process.pid, signal.SIGINT)
        assert "Strongroom has stopped.\n" in process.stdout.readlines()
    assert "Traceback" not in (clone.folder.parent / "log").read_text()


def test_the_readme(served: Clone) -> None:
    assert SERVE in blocks_of("README.md")
    printed = served.run(script_of("README.md"))
    assert "The log is whole." in printed
    assert "b'hello'\n" in printed
    assert "a secret\n" in printed


def test_the_page_on_identities(served: Clone) -> None:
    printed = served.run(". strongroom-data/env.sh\n" + script_of("docs/identities.md"))
    assert "because     arn:aws:iam::000000000000:user/ann inline policy decrypt-payroll" in printed


def test_the_page_on_the_xks_proxy(served: Clone) -> None:
    printed = served.run(". strongroom-data/env.sh\n" + script_of("docs/xks-proxy.md"))
    assert "key payroll-2026" in printed
    assert (served.folder / "acme.json").stat().st_mode & 0o777 == 0o600


def test_the_page_on_moving_in(served: Clone) -> None:
    printed = served.run(". strongroom-data/env.sh\n" + script_of("docs/moving-in.md"))
    assert "1 could be re-encrypted; nothing was replaced.\n1 re-encrypted.\n" in printed


@pytest.mark.parametrize("page", [page for page in PAGES if page not in SERVED | ACTIVATED and script_of(page)])
def test_other_pages(clone: Clone, page: str) -> None:
    clone.run(script_of(page))


def test_the_page_on_tests(clone: Clone) -> None:
    (page,) = ACTIVATED
    assert clone.run(f'PATH="$PWD/.venv/bin:$PATH"\n{script_of(page)}') == "[]\n"


def test_blocks_are_run_unless_they_are_listed() -> None:
    for page in (*PAGES, *DECISIONS):
        for block in blocks_of(page):
            assert block.left_out or (page in PAGES and block.language in {"sh", "python"}), block


def test_what_is_listed_is_still_in_the_page() -> None:
    for page, start in LEFT_OUT:
        assert any(block.text.startswith(start) for block in blocks_of(page)), (page, start)
    for page, start in LINES_LEFT_OUT:
        lines = [line for block in blocks_of(page) if not block.left_out for line in block.text.splitlines()]
        assert any(line.startswith(start) for line in lines), (page, start)


def named_commands() -> set[str]:
    """Return the commands of ``strongroom`` that the documents name, in blocks or in the text."""
    found = set()
    for page in (*PAGES, *DECISIONS):
        text = (ROOT / page).read_text(encoding="utf-8")
        found |= set(re.findall(r"`strongroom ([^`]+)`", text))
        for block in blocks_of(page):
            # What follows on an indented line belongs to the command.
            found |= set(re.findall(r"^strongroom (.*)$", re.sub(r"\n +", " ", block.text), re.MULTILINE))
    return {" ".join(command.partition("#")[0].split()) for command in found}


@pytest.mark.parametrize("line", sorted(named_commands()))
def test_the_command_and_its_options_exist(line: str) -> None:
    command: click.Command = main
    for word in line.split():
        if not isinstance(command, click.Group):
            break
        if word in command.commands:
            command = command.commands[word]
    assert command is not main or line.startswith("-"), line
    known = {name for parameter in command.params for name in parameter.opts} | {"--help", "--version"}
    assert set(re.findall(r"(?<![\w-])--[a-z0-9-]+", line)) <= known


def test_the_make_targets_that_are_named_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        name
        for page in (*PAGES, *DECISIONS)
        for name in re.findall(r"(?:`|^ *)make ([a-z-]+)", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert {"demo", "serve", "test"} <= named <= targets
