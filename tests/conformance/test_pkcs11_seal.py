"""A hardware token opens the root key of a server: SoftHSM, which goes away and comes back."""

import json
from pathlib import Path

import pytest

from accounts import strongroom, succeed
from clients import client_of
from local_server import running_server
from server_processes import wait_until
from softhsm import FaultyModule, new_token, token_settings
from started_servers import started

PASSPHRASE = "correct horse battery staple"


@pytest.fixture(params=["software", "pkcs11-root"])
def protection(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protection: str) -> FaultyModule:
    """Return a module that all commands and servers of the test use."""
    module = FaultyModule(tmp_path)
    settings = {**token_settings(tmp_path, module.path), "STRONGROOM_KEY_PROTECTION": protection}
    for name, value in {**new_token(tmp_path), **module.environment, **settings}.items():
        monkeypatch.setenv(name, value)
    return module


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def other_objects(data: Path) -> list[str]:
    return list(json.loads(succeed(data, "hsm", "status", "--json"))["other_objects"])


def seal_objects(data: Path) -> list[str]:
    return list(json.loads(succeed(data, "hsm", "status", "--json"))["seals"])


def test_a_token_takes_the_place_of_the_key_file(
    module: FaultyModule, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_server(data, tmp_path / "log", "--workers", "2") as server:
        kms = client_of(server)
        key_id = kms.create_key()["KeyMetadata"]["KeyId"]
        blob = kms.encrypt(KeyId=key_id, Plaintext=b"text")["CiphertextBlob"]
        assert "in the hardware token" in succeed(data, "seal", "add", "hsm", "pkcs11")
        succeed(data, "seal", "remove", "file")
        assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"text"
        assert server.stop() == 0
    assert not list(data.glob("root*"))
    assert seal_objects(data) == ["hsm"]
    with running_server(data, tmp_path / "log", "--workers", "2") as server:
        assert client_of(server).decrypt(CiphertextBlob=blob)["Plaintext"] == b"text"
        succeed(data, "seal", "rotate")
        assert "hsm:          opens" in succeed(data, "seal", "test")
        assert server.stop() == 0
    # A start waits for a token that is away, and says so.
    module.behave("gone")
    refused = strongroom(data, "seal", "status")
    assert refused.returncode == 1
    assert "has no token 'strongroom-test'" in refused.stderr
    assert "Traceback" not in refused.stderr
    log = tmp_path / "waiting.log"
    with started(log, data) as process:
        wait_until(lambda: "seal 'hsm'" in log.read_text())
        assert process.poll() is None
        module.behave("")
        assert process.stdout is not None
        assert "Strongroom" in process.stdout.readline()
        assert process.poll() is None
    file = tmp_path / "passphrase"
    file.write_text(f"{PASSPHRASE}\n")
    succeed(data, "seal", "add", "safe", "passphrase", "--new-passphrase-file", str(file))
    monkeypatch.setenv("STRONGROOM_SEAL_PASSPHRASE_FILE", str(file))
    succeed(data, "seal", "remove", "hsm")
    # The key of the seal is gone from the token, too.
    assert (seal_objects(data), other_objects(data)) == ([], [])
    with running_server(data, tmp_path / "log") as server:
        assert client_of(server).decrypt(CiphertextBlob=blob)["Plaintext"] == b"text"
        assert server.stop() == 0
    assert "Traceback" not in (tmp_path / "log").read_text() + log.read_text()


@pytest.mark.parametrize("protection", ["software"], indirect=True)
@pytest.mark.usefixtures("module")
def test_another_token_does_not_open_it(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_server(data, tmp_path / "log") as server:
        assert server.stop() == 0
    succeed(data, "seal", "add", "hsm", "pkcs11")
    succeed(data, "seal", "remove", "file")
    for name, value in new_token(tmp_path / "other").items():
        monkeypatch.setenv(name, value)
    refused = strongroom(data, "seal", "status")
    assert refused.returncode == 1
    assert "the key of the seal; name the right token in `pkcs11-token`" in refused.stderr
    monkeypatch.delenv("STRONGROOM_PKCS11_MODULE")
    unnamed = strongroom(data, "seal", "status")
    assert "it is opened by a hardware token; name it in the setting `pkcs11-module`" in unnamed.stderr
    assert "Traceback" not in refused.stderr + unnamed.stderr


@pytest.mark.parametrize("protection", ["software"], indirect=True)
@pytest.mark.usefixtures("module")
def test_a_restored_copy_leaves_the_key_of_a_seal_to_the_deployment_it_came_from(data: Path, tmp_path: Path) -> None:
    with running_server(data, tmp_path / "log") as server:
        key_id = client_of(server).create_key()["KeyMetadata"]["KeyId"]
        succeed(data, "seal", "add", "hsm", "pkcs11")
        succeed(data, "seal", "remove", "file")
        succeed(data, "backup", "--to", str(tmp_path / "backup"), "--unencrypted")
        assert server.stop() == 0
    copy = tmp_path / "copy"
    succeed(copy, "restore", str(tmp_path / "backup"), "--without-audit-log")
    succeed(copy, "seal", "add", "new", "file")
    removed = strongroom(copy, "seal", "remove", "hsm")
    assert removed.returncode == 0
    assert "the key of the seal 'hsm' stays in the token" in removed.stderr
    with running_server(data, tmp_path / "log2") as server:
        assert client_of(server).describe_key(KeyId=key_id)
        assert server.stop() == 0


def test_without_a_token_in_the_settings_it_cannot_be_added(data: Path, tmp_path: Path) -> None:
    with running_server(data, tmp_path / "log") as server:
        assert server.stop() == 0
    refused = strongroom(data, "seal", "add", "hsm", "pkcs11")
    assert refused.returncode == 1
    assert "a hardware token is needed; name it in the setting `pkcs11-module`" in refused.stderr
