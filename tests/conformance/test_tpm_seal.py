"""A TPM opens the root key of a server at each start, and another seal does so when the TPM does not."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from accounts import strongroom, succeed
from clients import client_of
from local_server import running_server
from tpm import SoftwareTpm, software_tpm

pytest.importorskip("tpm2_pytss", reason="tpm2-pytss is missing; `make test` installs it (tools/venv tpm)")

PASSPHRASE = "correct horse battery staple"
PCRS = "sha256:0,7"


@pytest.fixture
def tpm(tmp_path: Path) -> Iterator[SoftwareTpm]:
    with software_tpm(tmp_path / "tpm") as tpm:
        yield tpm


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return the data folder of a server that has a key and was stopped."""
    data = tmp_path / "data"
    with running_server(data, tmp_path / "log") as server:
        client_of(server).create_key()
        assert server.stop() == 0
    return data


def test_a_tpm_and_a_passphrase_take_the_place_of_the_key_file(
    tpm: SoftwareTpm, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "passphrase"
    file.write_text(f"{PASSPHRASE}\n")
    added = succeed(data, "seal", "add", "machine", "tpm", "--device", tpm.device, "--pcrs", PCRS)
    assert f"machine: the TPM at {tpm.device}, while its registers {PCRS} do not change" in added
    # If the machine breaks, or starts another kernel, nothing would open.
    refused = strongroom(data, "seal", "remove", "file")
    assert refused.returncode == 1
    assert "'file' is the only seal that opens on another machine; add one of the kind `passphrase`" in refused.stderr
    succeed(data, "seal", "add", "safe", "passphrase", "--new-passphrase-file", str(file))
    monkeypatch.setenv("STRONGROOM_SEAL_PASSPHRASE_FILE", str(file))
    succeed(data, "seal", "remove", "file")
    monkeypatch.delenv("STRONGROOM_SEAL_PASSPHRASE_FILE")
    assert not list(data.glob("root*"))
    with running_server(data, tmp_path / "log", "--workers", "2") as server:
        kms = client_of(server)
        (key,) = kms.list_keys()["Keys"]
        blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"text")["CiphertextBlob"]
        assert server.stop() == 0
    tpm.extend(7)
    refused = strongroom(data, "seal", "status")
    assert refused.returncode == 1
    assert "seal 'machine': this machine has not started as it had when the seal was made" in refused.stderr
    assert "seal 'safe': it needs its passphrase" in refused.stderr
    assert "Traceback" not in refused.stderr
    monkeypatch.setenv("STRONGROOM_SEAL_PASSPHRASE_FILE", str(file))
    assert "machine:      does not open: this machine has not started" in strongroom(data, "seal", "test").stdout
    succeed(data, "seal", "rotate")
    monkeypatch.delenv("STRONGROOM_SEAL_PASSPHRASE_FILE")
    # From now on, the machine as it starts now.
    assert "machine:      opens" in strongroom(data, "seal", "test", "machine").stdout
    with running_server(data, tmp_path / "log", "--workers", "2") as server:
        assert client_of(server).decrypt(CiphertextBlob=blob)["Plaintext"] == b"text"
        assert server.stop() == 0
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_a_server_waits_for_its_tpm(tpm: SoftwareTpm, data: Path, tmp_path: Path) -> None:
    succeed(data, "seal", "add", "machine", "tpm", "--device", tpm.device)
    for each in data.glob("root*"):
        each.unlink()
    tpm.stop()
    refused = strongroom(data, "key", "list")
    assert refused.returncode != 0
    status = strongroom(data, "seal", "status")
    assert f"the TPM at `{tpm.device}` does not answer" in status.stderr
    tpm.start()
    with running_server(data, tmp_path / "log") as server:
        assert client_of(server).list_keys()["Keys"]
        assert server.stop() == 0


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (("tpm", "--pcrs", "7"), "'7' names no platform configuration registers; write them as sha256:0,2,4,7"),
        (("tpm", "--device", "device:/dev/none"), "the TPM at `device:/dev/none` does not answer"),
        (("file", "--pcrs", "sha256:7"), "--device and --pcrs are for the kind tpm"),
    ],
    ids=["registers", "device", "another kind"],
)
def test_mistakes_are_named(data: Path, options: tuple[str, ...], error: str) -> None:
    refused = strongroom(data, "seal", "add", "machine", *options)
    assert refused.returncode != 0
    assert error in refused.stderr
    assert "Traceback" not in refused.stderr
