"""SeaweedFS, whose S3 gateway encrypts objects under KMS keys, over TLS with a private authority.

The S3 Encryption Client encrypts objects itself; SeaweedFS stores them.
"""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import BotoCoreError, ClientError
from mypy_boto3_kms.client import KMSClient

from client_errors import error_with_status
from clients import ONCE, credentials_of
from free_ports import free_port
from installed_packages import installed_packages
from local_server import RunningServer
from programs import unmeasured

SOURCES = Path(__file__).parent / "seaweedfs"
PORTS = ("master.port", "volume.port", "filer.port", "s3.port")
ACCESS_KEY_ID, SECRET = "seaweed", "seaweed-secret"
BUCKET, TEXT = "books", b"a secret text"
PATIENCE = 120.0
SOCKETS = Path("/tmp")  # noqa: S108 - where its parts speak to each other; it cannot be told another place


@pytest.fixture(scope="module")
def installed(pytestconfig: pytest.Config) -> Path:
    return installed_packages(pytestconfig, SOURCES)


@pytest.fixture(scope="module")
def s3(tls_server: RunningServer, installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Run SeaweedFS; return a client of its S3 gateway, which has a bucket."""
    folder = tmp_path_factory.mktemp("seaweedfs")
    (folder / "data").mkdir()
    (folder / "s3.json").write_text(json.dumps(gateway_settings(tls_server)))
    ports = {name: free_port() for port in PORTS for name in (port, f"{port}.grpc")}
    command = [
        *(str(installed / "bin" / "weed"), "-logtostderr", "server", f"-dir={folder / 'data'}"),
        *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3", f"-s3.config={folder / 's3.json'}"),
        *(f"-{name}={number}" for name, number in ports.items()),
        *("-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false"),
        *("-volume.max=50", "-master.volumeSizeLimitMB=16", "-volume.minFreeSpace=1MiB"),
    ]
    environment = unmeasured(tls_server.environment)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        try:
            client = client_of_gateway(f"http://127.0.0.1:{ports['s3.port']}")
            make_bucket(client, folder / "log")
            yield client
        finally:
            # A stop that it is asked for takes it longer than a minute.
            process.kill()
            process.wait()
            for number in ports.values():
                for left in SOCKETS.glob(f"seaweedfs-*-{number}.sock"):
                    left.unlink()


def gateway_settings(server: RunningServer) -> dict[str, Any]:
    keys = credentials_of(server)
    provider = {
        "type": "aws",
        "region": "us-east-1",
        "endpoint": server.endpoint,
        "access_key": keys.access_key,
        "secret_key": keys.secret_key,
        "cache_enabled": False,
    }
    identity = {
        "name": "app",
        "credentials": [{"accessKey": ACCESS_KEY_ID, "secretKey": SECRET}],
        "actions": ["Admin", "Read", "List", "Tagging", "Write"],
    }
    return {"identities": [identity], "kms": {"default_provider": "strongroom", "providers": {"strongroom": provider}}}


def client_of_gateway(address: str) -> Any:
    return boto3.client(
        "s3",
        region_name="us-east-1",
        endpoint_url=address,
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=SECRET,
        config=ONCE,
    )


def make_bucket(client: Any, log: Path) -> None:
    """Make the bucket and an object in it, as soon as all parts of SeaweedFS run."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        # It has a bucket before it can store an object.
        with suppress(BotoCoreError, ClientError):
            client.create_bucket(Bucket=BUCKET)
        with suppress(BotoCoreError, ClientError):
            client.put_object(Bucket=BUCKET, Key="ready", Body=TEXT)
            return
        time.sleep(0.1)
    raise AssertionError(log.read_text())


def test_an_object_is_encrypted_under_a_key(s3: Any, tls_kms: KMSClient) -> None:
    key = tls_kms.create_key()["KeyMetadata"]
    asked = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key["KeyId"]}
    stored = s3.put_object(Bucket=BUCKET, Key="one", Body=TEXT, **asked)
    assert stored["SSEKMSKeyId"] == key["Arn"]
    assert s3.get_object(Bucket=BUCKET, Key="one")["Body"].read() == TEXT
    tls_kms.disable_key(KeyId=key["KeyId"])
    error_with_status(500, s3.get_object, Bucket=BUCKET, Key="one")
    error_with_status(500, s3.put_object, Bucket=BUCKET, Key="two", Body=TEXT, **asked)
    tls_kms.enable_key(KeyId=key["KeyId"])
    assert s3.get_object(Bucket=BUCKET, Key="one")["Body"].read() == TEXT


def test_the_default_encryption_of_a_bucket(s3: Any, tls_kms: KMSClient) -> None:
    key = tls_kms.create_key()["KeyMetadata"]
    s3.create_bucket(Bucket="encrypted")
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key["KeyId"]}
    rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": default}]}
    s3.put_bucket_encryption(Bucket="encrypted", ServerSideEncryptionConfiguration=rules)
    stored = s3.put_object(Bucket="encrypted", Key="one", Body=TEXT)
    assert (stored["ServerSideEncryption"], stored["SSEKMSKeyId"]) == ("aws:kms", key["Arn"])
    assert s3.get_object(Bucket="encrypted", Key="one")["Body"].read() == TEXT


def test_the_s3_encryption_client(
    s3: Any, tls_kms: KMSClient, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(installed)
    library, keyrings = map(import_module, ("s3_encryption", "s3_encryption.materials.kms_keyring"))
    key = tls_kms.create_key()["KeyMetadata"]["Arn"]
    settings = library.S3EncryptionClientConfig(keyring=keyrings.KmsKeyring(tls_kms, key))
    # It changes the client that it is given.
    client = library.S3EncryptionClient(client_of_gateway(s3.meta.endpoint_url), settings)
    client.put_object(Bucket=BUCKET, Key="sealed", Body=TEXT, EncryptionContext={"owner": "app"})
    assert TEXT not in s3.get_object(Bucket=BUCKET, Key="sealed")["Body"].read()
    read = client.get_object(Bucket=BUCKET, Key="sealed", EncryptionContext={"owner": "app"})
    assert read["Body"].read() == TEXT
    tls_kms.disable_key(KeyId=key)
    with pytest.raises(Exception, match="is disabled"):
        client.get_object(Bucket=BUCKET, Key="sealed", EncryptionContext={"owner": "app"})["Body"].read()
