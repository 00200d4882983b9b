"""Clients that have no setting for an endpoint: the names of AWS lead to this server, as in a hosts file."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config

from clients import credentials_of
from local_server import RunningServer, running_server
from programs import program
from tls_files import Pair, self_signed, signed_by

REGIONS = ("us-east-1", "xx-office-1")
NAMES = [f"{service}.{region}.amazonaws.com" for service in ("kms", "sts") for region in REGIONS] + [
    "iam.amazonaws.com",
    "iam.xx-office-1.amazonaws.com",
]
VARIABLES = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return self_signed(tmp_path_factory.mktemp("authority"), "authority")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, authority: Pair) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("names")
    pair = signed_by(authority, folder, "kms", names=",".join(("IP:127.0.0.1", *(f"DNS:{name}" for name in NAMES))))
    regions = [option for region in REGIONS for option in ("--region", region)]
    with running_server(folder / "data", folder / "log", *pair.options, *regions) as server:
        yield server
        assert server.stop() == 0


@pytest.fixture
def hosts(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process find the server under the names of AWS, at the port that it got."""
    port = urlsplit(server.endpoint).port
    found = socket.getaddrinfo

    def look_up(host: Any, asked: Any, *arguments: Any, **options: Any) -> Any:
        return (
            found("127.0.0.1", port, *arguments, **options)
            if host in NAMES
            else found(host, asked, *arguments, **options)
        )

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    for name in (*VARIABLES, "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KMS", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("hosts")
@pytest.mark.parametrize("region", REGIONS)
def test_boto3_without_an_endpoint(server: RunningServer, authority: Pair, region: str) -> None:
    """Also for a Region that AWS does not have: its name is made of the Region's."""
    keys = credentials_of(server)

    def client(service: Any) -> Any:
        return boto3.client(
            service,
            region_name=region,
            verify=str(authority.certificate),
            aws_access_key_id=keys.access_key,
            aws_secret_access_key=keys.secret_key,
            config=Config(retries={"total_max_attempts": 1}),
        )

    kms, sts, iam = (client(service) for service in ("kms", "sts", "iam"))
    assert kms.meta.endpoint_url == f"https://kms.{region}.amazonaws.com"
    key = kms.create_key()["KeyMetadata"]["Arn"]
    assert key.startswith(f"arn:aws:kms:{region}:000000000000:key/")
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    assert sts.get_caller_identity()["Account"] == "000000000000"
    assert iam.list_users()["Users"] == []


def test_curl_signs_by_itself(server: RunningServer, authority: Pair, tmp_path: Path) -> None:
    keys = credentials_of(server)
    # Not on the command line, where other users see it.
    (tmp_path / "settings").write_text(f'user = "{keys.access_key}:{keys.secret_key}"\n')
    (tmp_path / "settings").chmod(0o600)
    command = [program("curl", "curl"), "--silent", "--config", str(tmp_path / "settings")]
    command += ["--cacert", str(authority.certificate), "--aws-sigv4", "aws:amz:us-east-1:kms"]
    command += ["--connect-to", f"{NAMES[0]}:443:{urlsplit(server.endpoint).netloc}", "--noproxy", "*"]
    command += ["--header", "X-Amz-Target: TrentService.ListKeys"]
    command += ["--header", "Content-Type: application/x-amz-json-1.1", "--data", '{"Limit": 1}']
    done = subprocess.run(
        [*command, f"https://{NAMES[0]}/"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=clean(os.environ),
    )
    assert '"Keys":[' in done.stdout, done.stdout + done.stderr


def clean(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without what names certificates."""
    return {name: value for name, value in environment.items() if name not in VARIABLES}


@pytest.mark.parametrize(
    ("variable", "trusted"),
    [("AWS_CA_BUNDLE", True), ("REQUESTS_CA_BUNDLE", True), ("SSL_CERT_FILE", False), ("CURL_CA_BUNDLE", False)],
)
def test_what_names_the_authority_to_the_aws_cli(
    server: RunningServer, authority: Pair, variable: str, *, trusted: bool
) -> None:
    aws = shutil.which("aws", path=str(Path(sys.executable).parent))
    assert aws is not None
    environment = clean(server.environment) | {variable: str(authority.certificate), "AWS_MAX_ATTEMPTS": "1"}
    done = subprocess.run(
        [aws, "kms", "list-keys", "--query", "Truncated"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode == 0) is trusted, done.stderr
    assert trusted or "CERTIFICATE_VERIFY_FAILED" in done.stderr
