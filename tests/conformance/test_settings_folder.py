"""A settings file with relative names, beside what it names: commands and servers use it from any folder."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from local_server import RunningServer, environment_of
from server_processes import wait_until
from tls_files import self_signed
from warm_commands import command

NAMES = """\
data = "data"
listen = "127.0.0.1:0"
workers = 1
tls-cert = "{name}-cert.pem"
tls-key = "{name}-key.pem"
seal-passphrase-file = "secrets/passphrase"
"""
ROOT = Path("/")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Return a folder with a settings file and all files that it names."""
    folder = tmp_path / "own"
    (folder / "secrets").mkdir(parents=True)
    (folder / "secrets" / "passphrase").write_text("a passphrase that is long\n")
    for name in ("first", "second"):
        pair = self_signed(folder, name)
        pair.certificate.rename(folder / f"{name}-cert.pem")
        pair.key.rename(folder / f"{name}-key.pem")
    (folder / "strongroom.toml").write_text(NAMES.format(name="first"))
    return folder


def run(folder: Path, *arguments: str, config: Path | None = None) -> str:
    """Run a command in a folder; return what it prints."""
    done = command(*arguments, folder=folder, environment={"STRONGROOM_CONFIG": str(config)} if config else None)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def served(config: Path, log: Path) -> Iterator[RunningServer]:
    """Serve from the root folder; the log goes to a file."""
    environment = {**os.environ, "STRONGROOM_CONFIG": str(config)}
    serve = [sys.executable, "-m", "strongroom", "serve"]
    with (
        log.open("w") as errors,
        subprocess.Popen(serve, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=ROOT, env=environment) as process,
    ):
        try:
            yield RunningServer(process, environment_of(process.stdout or ()))
        finally:
            if process.poll() is None:
                process.kill()


def test_relative_names_work_from_any_folder(own: Path, tmp_path: Path) -> None:
    config = own / "strongroom.toml"
    made = json.loads(run(own, "init", "--json"))
    assert made["data"] == f"{own}/data"
    shown = json.loads(run(ROOT, "config", "show", "--json", "--changed", config=config))
    assert (shown["data"]["value"], shown["data"]["named"]) == (f"{own}/data", str(config))
    assert shown["seal-passphrase-file"]["value"] == f"{own}/secrets/passphrase"
    assert "can be used" in run(ROOT, "config", "check", config=config)
    run(own, "seal", "add", "words", "passphrase", "--new-passphrase-file", "secrets/passphrase")
    assert "words" in run(ROOT, "seal", "test", "words", config=config)
    examined = json.loads(
        command("doctor", "--json", folder=ROOT, environment={"STRONGROOM_CONFIG": str(config)}).stdout
    )
    found = {each["check"]: (each["status"], each["text"]) for each in examined["checks"]}
    assert found["settings"][0] == found["root-key"][0] == found["certificate"][0] == "ok"
    assert f"`{own}/data`" in found["folder"][1]
    with served(config, tmp_path / "log") as server:
        assert server.environment["STRONGROOM_DATA"] == f"{own}/data"
        config.write_text(NAMES.format(name="second"))
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "SIGHUP: took on tls-cert, tls-key" in (tmp_path / "log").read_text())
        assert server.stop() == 0
