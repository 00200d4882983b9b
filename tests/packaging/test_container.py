"""The image and the compose files: what tools that need no container engine can say of them."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from built_wheel import ROOT
from strongroom.settings import Settings
from strongroom.settings_sources import unknown_variables
from strongroom.supervisor.supervisor import longest_stop

NEEDED = "it is large; `make test` installs it (tools/venv packaging)"
yaml = pytest.importorskip("yaml", reason=NEEDED)

DOCKERFILE = ROOT / "Dockerfile"
HADOLINT = Path(sys.executable).with_name("hadolint")
DOCKER_COMPOSE = Path(sys.executable).with_name("docker-compose")
if not (HADOLINT.exists() and DOCKER_COMPOSE.exists()):
    pytest.skip(NEEDED, allow_module_level=True)
PASSWORD = {"STRONGROOM_DB_PASSWORD": "geheim"}


def compose(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
    return document


def test_hadolint_finds_nothing() -> None:
    done = subprocess.run([HADOLINT, DOCKERFILE], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


def test_what_is_copied_into_the_image_is_in_the_context_of_the_build() -> None:
    text = DOCKERFILE.read_text(encoding="utf-8")
    copied = [name for names in re.findall(r"^COPY (?!--)(.*) \S+$", text, re.MULTILINE) for name in names.split()]
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert {name.split("/")[0] for name in copied} == kept
    assert all((ROOT / name).exists() for name in copied)


def test_the_image_runs_as_a_user_without_rights_and_checks_itself() -> None:
    final = DOCKERFILE.read_text(encoding="utf-8").split("\nFROM ")[-1]
    assert "\nUSER 10001:10001\n" in final
    # Both by an option, which goes before STRONGROOM_LISTEN.
    assert 'CMD ["strongroom", "ready", "--listen", "127.0.0.1:4599"]' in final
    assert 'CMD ["serve", "--listen", "0.0.0.0:4599"]' in final
    assert final.count("\nVOLUME ") == 1
    assert unknown_variables(dict.fromkeys(re.findall(r"\b(STRONGROOM_\w+)=", final), "")) == {}


def checked(name: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Have Docker Compose resolve a file, which it checks against its schema. That needs no engine."""
    command: list[str | Path] = [DOCKER_COMPOSE, "--file", ROOT / name, "config", "--quiet"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("name", ["compose.yaml", "compose.nodes.yaml"])
def test_docker_compose_accepts_a_file(name: str) -> None:
    done = checked(name, PASSWORD)
    assert (done.returncode, done.stderr) == (0, "")


def test_nodes_need_a_password_for_their_database() -> None:
    done = checked("compose.nodes.yaml", {})
    assert done.returncode != 0
    assert "STRONGROOM_DB_PASSWORD is missing a value: choose a password for the database" in done.stderr


@pytest.mark.parametrize("name", ["compose.yaml", "compose.nodes.yaml"])
def test_a_service_is_confined_and_finds_its_files(name: str) -> None:
    document = compose(name)
    for service in document["services"].values():
        variables = {key: "" for key in service.get("environment", {}) if key.startswith("STRONGROOM_")}
        assert unknown_variables(variables) == {}
        mounted = [entry.split(":")[0] for entry in service.get("volumes", []) if entry.startswith("./")]
        assert all((ROOT / path).is_file() for path in mounted)
        if service["image"] == "strongroom":
            assert service["read_only"]
            assert service["tmpfs"] == ["/tmp"]  # noqa: S108 - of the container
            assert service["cap_drop"] == ["ALL"]


@pytest.mark.parametrize(("name", "service"), [("compose.yaml", "strongroom"), ("compose.nodes.yaml", "node-1")])
def test_a_container_has_more_time_to_stop_than_the_server_takes(name: str, service: str) -> None:
    assert int(compose(name)["services"][service]["stop_grace_period"].rstrip("s")) > longest_stop(Settings().drain)


def first_keys(folder: Path, init: str) -> tuple[int, int]:
    """Run the script that makes the first keys; return its exit code, and how often ``strongroom init`` was run."""
    command = folder / "strongroom"
    command.write_text(f'#!/bin/sh\necho "$@" >> "{folder}/calls"\n{init}\n')
    command.chmod(0o700)
    environment = {"PATH": f"{folder}:/usr/bin:/bin", "STRONGROOM_DATA": str(folder / "volume" / "data")}
    done = subprocess.run(["sh", ROOT / "deploy/compose/first-keys.sh"], env=environment, check=False, timeout=60)
    return done.returncode, (folder / "calls").read_text().count("init\n")


def test_first_keys_that_were_interrupted_are_finished_and_made_once(tmp_path: Path) -> None:
    data = tmp_path / "volume" / "data"
    data.mkdir(parents=True)
    assert first_keys(tmp_path, f'touch "{data}/root.key"; exit 1') == (1, 1)
    assert first_keys(tmp_path, f'touch "{data}/credentials"') == (0, 2)
    assert first_keys(tmp_path, "exit 1") == (0, 2)
    # Its owner has taken it off the machine.
    (data / "credentials").unlink()
    assert first_keys(tmp_path, "exit 1") == (0, 2)


def test_no_password_is_on_a_command_line() -> None:
    script = (ROOT / "deploy/compose/roles.sh").read_text()
    assert "$POSTGRES_PASSWORD" not in script
    assert "--from-literal" not in (ROOT / "docs/install.md").read_text()


@pytest.mark.parametrize("name", ["compose.yaml", "compose.nodes.yaml"])
def test_only_this_machine_reaches_what_has_no_tls(name: str) -> None:
    published = [port for service in compose(name)["services"].values() for port in service.get("ports", [])]
    assert published == ["127.0.0.1:4599:4599"]
