"""aws-nuke, from Debian's package: it lists what an account has, and deletes it. It has no setting for an endpoint."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from clients import client_of, client_with, credentials_of
from connect_proxy import ConnectProxy, tunnels_to
from local_server import RunningServer
from programs import program, unmeasured
from tls_servers import AWS_NAMES, running_tls_server

TARGETS = ["KMSKey", "KMSAlias", "IAMUser", "IAMUserAccessKey"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    """Return a server of its own, which has nothing but what the test made."""
    with running_tls_server(tmp_path) as server:
        yield server


@pytest.fixture
def proxy(server: RunningServer) -> Iterator[ConnectProxy]:
    with tunnels_to(server, *AWS_NAMES) as proxy:
        yield proxy


def test_it_deletes_all_that_an_account_has(
    server: RunningServer, proxy: ConnectProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", server.environment["AWS_CA_BUNDLE"])
    kms, iam = client_of(server), client_with(server, "iam", credentials_of(server))
    metadata = kms.create_key()["KeyMetadata"]
    key, account = metadata["KeyId"], metadata["AWSAccountId"]
    kms.create_alias(AliasName="alias/of-a-test", TargetKeyId=key)
    iam.create_account_alias(AccountAlias="a-lab")
    iam.create_user(UserName="ann")
    iam.create_access_key(UserName="ann")
    settings = {
        "regions": ["us-east-1", "global"],
        "account-blocklist": ["999999999999"],
        "accounts": {account: {}},
        "resource-types": {"targets": TARGETS},
    }
    # JSON is YAML.
    (tmp_path / "nuke.yaml").write_text(json.dumps(settings))
    command = [program("aws-nuke", "aws-nuke"), "--config", "nuke.yaml", "--force", "--force-sleep", "3"]
    done = subprocess.run(
        [*command, "--no-dry-run", "--max-wait-retries", "20"],
        cwd=tmp_path,
        env=unmeasured(server.environment) | {"HTTPS_PROXY": proxy.url, "NO_PROXY": "", "no_proxy": ""},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the alias 'a-lab'" in done.stdout
    after = kms.describe_key(KeyId=key)["KeyMetadata"]
    assert after["KeyState"] == "PendingDeletion"
    assert (after["DeletionDate"] - after["CreationDate"]).days == 7
    assert kms.list_aliases()["Aliases"] == []
    assert iam.list_users()["Users"] == []
    assert {name.partition(":")[0] for name in proxy.asked_for} <= set(AWS_NAMES)
