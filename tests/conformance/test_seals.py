"""Seals of a running server: added, removed, rotated, and opened at the next start."""

import json
import os
import pty
import signal
import subprocess
import sys
import termios
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from accounts import strongroom, succeed
from audits import command_records
from child_processes import killed
from clients import client_of, credentials_of
from local_server import RunningServer, running_server
from strongroom.http.listeners import claim_port
from terminals import clients_environment, server_in_terminal, shown_by, shown_to_others

PASSPHRASE = "correct horse battery staple"
PATIENCE = 120.0
WORKERS = 2


@pytest.fixture
def passphrase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file with a passphrase, which all commands and servers of the test find."""
    file = tmp_path / "passphrase"
    file.write_text(f"{PASSPHRASE}\n")
    monkeypatch.setenv("STRONGROOM_SEAL_PASSPHRASE_FILE", str(file))
    return file


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def encrypted(server: RunningServer) -> bytes:
    kms = client_of(server)
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    return kms.encrypt(KeyId=key_id, Plaintext=b"text")["CiphertextBlob"]


def decrypts(server: RunningServer, blob: bytes) -> bool:
    return client_of(server).decrypt(CiphertextBlob=blob)["Plaintext"] == b"text"


def seals(data: Path) -> list[str]:
    return [each["name"] for each in json.loads(succeed(data, "seal", "status", "--json"))["seals"]]


def test_a_passphrase_takes_the_place_of_the_key_file(data: Path, tmp_path: Path, passphrase: Path) -> None:
    with running_server(data, tmp_path / "log", "--workers", "2") as server:
        blob = encrypted(server)
        assert seals(data) == ["file"]
        added = succeed(data, "seal", "add", "safe", "passphrase", "--new-passphrase-file", str(passphrase))
        assert "The seal 'safe' is added: it opened." in added
        assert seals(data) == ["file", "safe"]
        succeed(data, "seal", "remove", "file")
        assert seals(data) == ["safe"]
        assert decrypts(server, blob)
    assert not list(data.glob("root*.key*"))
    assert not list(data.glob("*.n*"))
    assert (data / "seal.json").stat().st_mode & 0o777 == 0o600
    assert PASSPHRASE.encode() not in b"".join(each.read_bytes() for each in data.rglob("*") if each.is_file())
    with running_server(data, tmp_path / "log2", "--workers", "2") as server:
        assert decrypts(server, blob)
        kill_workers(server)
        assert decrypts(server, blob)
        succeed(data, "seal", "rotate")
        kill_workers(server)
        assert decrypts(server, blob)
        assert succeed(data, "seal", "test") == "safe:         opens\n"
        assert strongroom(data, "audit", "verify").returncode == 0
    names = [record["eventName"] for record in command_records(data)]
    assert names == ["AddSeal", "RemoveSeal", "RotateRootKey"]


def kill_workers(server: RunningServer) -> None:
    """Kill both workers, and wait until the supervisor has started others that answer."""
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    wait_for(lambda: len(children.read_text().split()) == WORKERS)
    killed = children.read_text().split()
    for each in killed:
        os.kill(int(each), signal.SIGKILL)
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = children.read_text().split()
        if len(found) == WORKERS and not set(found) & set(killed) and answers(server.endpoint, "/readyz")[0] == 200:
            return
        time.sleep(0.1)
    raise AssertionError("the workers were not replaced")


def answers(endpoint: str, path: str) -> tuple[int, str]:
    """Return the status and text of an answer; 0 without one."""
    try:
        with urllib.request.urlopen(endpoint + path, timeout=5) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def test_the_wrong_passphrase_and_none_are_refused_in_one_line(data: Path, tmp_path: Path, passphrase: Path) -> None:
    with running_server(data, tmp_path / "log"):
        pass
    succeed(data, "seal", "add", "safe", "passphrase", "--new-passphrase-file", str(passphrase))
    succeed(data, "seal", "remove", "file")
    serve = ("serve", "--listen", "127.0.0.1:0", "--workers", "1")
    passphrase.write_text("another passphrase\n")
    for command in (serve, ("account", "list"), ("seal", "status")):
        refused = strongroom(data, *command)
        assert refused.returncode == 1
        assert refused.stderr == f"Error: `{data / 'seal.json'}`: seal 'safe': the passphrase is wrong\n"
    passphrase.unlink()
    assert "cannot be read: No such file" in strongroom(data, *serve).stderr


def test_a_person_is_asked_once_for_all_workers(
    data: Path, tmp_path: Path, passphrase: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_server(data, tmp_path / "log") as server:
        blob = encrypted(server)
    succeed(data, "seal", "add", "safe", "passphrase", "--new-passphrase-file", str(passphrase))
    succeed(data, "seal", "remove", "file")
    monkeypatch.delenv("STRONGROOM_SEAL_PASSPHRASE_FILE")
    with server_in_terminal(data, b"Passphrase of the seal 'safe'", PASSPHRASE, "--workers", "2") as server:
        assert decrypts(server, blob)
        kill_workers(server)
        assert decrypts(server, blob)
        assert PASSPHRASE not in shown_to_others(server.process.pid)


def test_an_interrupt_while_the_passphrase_is_asked_for_leaves_the_terminal_as_it_was(
    data: Path, tmp_path: Path, passphrase: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_server(data, tmp_path / "log"):
        pass
    succeed(data, "seal", "add", "safe", "passphrase", "--new-passphrase-file", str(passphrase))
    succeed(data, "seal", "remove", "file")
    monkeypatch.delenv("STRONGROOM_SEAL_PASSPHRASE_FILE")
    terminal, inside = pty.openpty()
    command = [sys.executable, "-m", "strongroom", "serve", "--listen", "127.0.0.1:0", "--data", str(data)]
    with (
        closing(os.fdopen(terminal, "rb", buffering=0)),
        closing(os.fdopen(inside, "wb", buffering=0)),
        subprocess.Popen(command, stdin=inside, stdout=subprocess.DEVNULL, stderr=inside) as process,
        killed(process),
    ):
        shown_by(terminal)
        assert not is_typing_shown(inside)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
        assert is_typing_shown(inside)


def is_typing_shown(terminal: int) -> bool:
    modes: int = termios.tcgetattr(terminal)[3]
    return bool(modes & termios.ECHO)


def wait_for(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)


@contextmanager
def serving_at(data: Path, log: Path, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """Start a server on a port, and do not wait for it."""
    command = [sys.executable, "-m", "strongroom", "serve", "--workers", "1", "--listen", f"127.0.0.1:{port}"]
    with (
        log.open("w") as errors,
        subprocess.Popen([*command, "--data", str(data)], stdout=subprocess.DEVNULL, stderr=errors) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()
            process.wait(PATIENCE)


class Keeper:
    """Another server, whose KMS key keeps the root key of ours."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.data, self.log = folder / "keeper", folder / "keeper.log"
        with closing(claim_port("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        with self.running() as server:
            self.key = client_of(server).create_key()["KeyMetadata"]["Arn"]
            keys = credentials_of(server)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys.access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys.secret_key)

    @contextmanager
    def running(self) -> Iterator[RunningServer]:
        with running_server(self.data, self.log, "--listen", f"127.0.0.1:{self.port}", "--workers", "1") as server:
            yield server
            server.stop()

    @property
    def options(self) -> tuple[str, ...]:
        """The options of ``seal add``."""
        return ("--key-id", self.key, "--region", "us-east-1", "--endpoint", f"http://127.0.0.1:{self.port}")


@pytest.fixture
def keeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Keeper:
    return Keeper(tmp_path, monkeypatch)


def test_a_key_of_another_server_opens_the_root_key_when_it_can_be_reached(
    data: Path, tmp_path: Path, keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The client library would log what it sends and gets on this level: the root key.
    monkeypatch.setenv("STRONGROOM_LOG_LEVEL", "debug")
    with running_server(data, tmp_path / "log") as server:
        blob = encrypted(server)
        with keeper.running():
            succeed(data, "seal", "add", "cloud", "kms", *keeper.options)
            succeed(data, "seal", "remove", "file")
            assert seals(data) == ["cloud"]
        unreachable = strongroom(data, "seal", "test")
        # None opens the root key, so none can be tried.
        assert unreachable.returncode == 2
        assert "cannot be reached" in unreachable.stderr + unreachable.stdout or "does not answer" in unreachable.stderr
        server.stop()
    with closing(claim_port("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with serving_at(data, tmp_path / "log2", port) as process:
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: answers(url, "/readyz")[0] == 503)
        assert "sealed: " in answers(url, "/readyz")[1]
        assert "seal 'cloud'" in answers(url, "/readyz")[1]
        assert answers(url, "/healthz")[0] == 200
        assert answers(url, "/")[0] == 503
        assert "trying again in 1 s" in (tmp_path / "log2").read_text()
        with keeper.running():
            wait_for(lambda: answers(url, "/readyz")[0] == 200)
        assert decrypts(RunningServer(process, clients_environment(data, port)), blob)
    assert "botocore" not in (tmp_path / "log2").read_text()


REFUSALS = {
    "disabled": "DisabledException",
    "to be deleted": "KMSInvalidStateException",
    "denied": "UnrecognizedClientException",
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_key_that_refuses_ends_the_start_in_one_line(
    data: Path, tmp_path: Path, keeper: Keeper, refusal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_server(data, tmp_path / "log") as server, keeper.running():
        succeed(data, "seal", "add", "cloud", "kms", *keeper.options)
        succeed(data, "seal", "remove", "file")
        server.stop()
    with keeper.running() as other:
        kms = client_of(other)
        if refusal == "disabled":
            kms.disable_key(KeyId=keeper.key)
        elif refusal == "to be deleted":
            kms.schedule_key_deletion(KeyId=keeper.key)
        else:
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
        refused = strongroom(data, "serve", "--listen", "127.0.0.1:0", "--workers", "1")
    assert refused.returncode == 1
    (line,) = refused.stderr.splitlines()
    assert line.startswith(f"Error: `{data / 'seal.json'}`: seal 'cloud': http://127.0.0.1:{keeper.port} answers ")
    assert REFUSALS[refusal] in line


def test_a_key_of_the_server_itself_is_refused(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_server(data, tmp_path / "log") as server:
        key = client_of(server).create_key()["KeyMetadata"]["Arn"]
        keys = credentials_of(server)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys.access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys.secret_key)
        options = ("--key-id", key, "--region", "us-east-1", "--endpoint", server.endpoint)
        refused = strongroom(data, "seal", "add", "own", "kms", *options)
        assert refused.returncode == 1
        assert f"{key} is a key of this server, which has to be unsealed before it can be used" in refused.stderr
        assert seals(data) == ["file"]


def test_what_cannot_be_done_with_seals_is_said(data: Path, tmp_path: Path, passphrase: Path) -> None:
    with running_server(data, tmp_path / "log"):
        for command, words in (
            (("remove", "file"), "'file' is the only seal: without it nothing would open; add another one first"),
            (("remove", "safe"), "there is no seal 'safe'"),
            (("test", "safe"), "there is no seal 'safe'"),
            (("add", "no/name", "file"), "is no name of a seal"),
            (("add", "second", "file"), "there is a seal of the kind `file` already"),
            (("add", "cloud", "kms"), "the kind kms needs --key-id and --region"),
            (("add", "safe", "passphrase"), "give the passphrase with --new-passphrase-file"),
        ):
            refused = strongroom(data, "seal", *command)
            assert refused.returncode in {1, 2}
            assert words in refused.stderr
        passphrase.write_text("short\n")
        short = strongroom(data, "seal", "add", "safe", "passphrase", "--new-passphrase-file", str(passphrase))
        assert "12 characters at least" in short.stderr
    assert not (data / "seal.json").exists()


def test_a_document_that_was_changed_is_refused(data: Path, tmp_path: Path, passphrase: Path) -> None:
    with running_server(data, tmp_path / "log"):
        succeed(data, "seal", "add", "safe", "passphrase", "--new-passphrase-file", str(passphrase))
    document = json.loads((data / "seal.json").read_text())
    document["entries"].append({**document["entries"][1], "name": "evil"})
    (data / "seal.json").write_text(json.dumps(document))
    for command in (("seal", "status"), ("serve", "--listen", "127.0.0.1:0")):
        refused = strongroom(data, *command)
        assert "it was changed by something else than `strongroom seal`" in refused.stderr


def test_a_backup_is_restored_with_its_seals(data: Path, tmp_path: Path, passphrase: Path) -> None:
    backup, restored = tmp_path / "backup", tmp_path / "restored"
    with running_server(data, tmp_path / "log") as server:
        blob = encrypted(server)
        succeed(data, "seal", "add", "safe", "passphrase", "--new-passphrase-file", str(passphrase))
        succeed(data, "seal", "rotate")
        (key_file,) = data.glob("root*.key")
        assert key_file.name == "root-2.key"
        kept = tmp_path / "kept.key"
        kept.write_bytes(key_file.read_bytes())
        kept.chmod(0o600)
        made = succeed(data, "backup", "--to", str(backup), "--unencrypted")
        assert f"its seal 'safe' is needed, or a copy of {key_file}" in made
        succeed(data, "seal", "rotate")
        audit = ("--audit", str(data))
        for how in ((), ("--root-key", str(kept))):
            unseal = () if how else ("--unseal",)
            verified = subprocess.run(
                [sys.executable, "-m", "strongroom", "backup", "verify", str(backup), *how, *unseal],
                capture_output=True,
                text=True,
                check=False,
            )
            assert "verified with the root key" in verified.stdout, verified.stderr
            said = succeed(restored, "restore", str(backup), *how, *audit)
            assert "A new root key was made" not in said
            assert (f"put a copy of it at {restored / 'root-2.key'}" in said) is not bool(how)
            assert ("The seals in the backup open the restored keys" in said) is not bool(how)
            with running_server(restored, tmp_path / "log2") as again:
                (restored / "credentials").write_bytes((data / "credentials").read_bytes())
                assert decrypts(again, blob)
            assert (restored / "root-2.key").exists() is bool(how)
            passphrase.unlink(missing_ok=True)
            restored = tmp_path / "again"
