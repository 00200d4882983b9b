"""``strongroom init --admin``: a user for everyday work, and root access keys put aside."""

import json
import shlex
import stat
from pathlib import Path

import pytest

from accounts import strongroom, succeed
from clients import client_with, credentials_of
from local_server import running_server
from postgresql import SERVER, Cluster
from warm_commands import command

ACCOUNT = "000000000000"


def test_an_administrator_is_made_and_the_root_access_key_is_put_aside(tmp_path: Path) -> None:
    data = tmp_path / "data"
    told = json.loads(succeed(data, "init", "--admin", "ops", "--json"))
    assert {name: told[name] for name in ("account", "administrator", "credentials", "root_credentials")} == {
        "account": ACCOUNT,
        "administrator": "ops",
        "credentials": str(data / "credentials"),
        "root_credentials": str(data / "root-credentials"),
    }
    for name in ("credentials", "root-credentials"):
        assert stat.S_IMODE((data / name).stat().st_mode) == 0o600
        assert (data / name).read_text().startswith("[default]\n")
    with running_server(data, tmp_path / "log") as server:
        mine = credentials_of(server)
        identity = client_with(server, "sts", mine).get_caller_identity()
        assert identity["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/ops"
        iam, kms = client_with(server, "iam", mine), client_with(server, "kms", mine)
        [policy] = iam.list_attached_user_policies(UserName="ops")["AttachedPolicies"]
        assert policy["PolicyName"] == "AdministratorAccess"
        key_id = kms.create_key()["KeyMetadata"]["KeyId"]
        kms.put_key_policy(KeyId=key_id, Policy=kms.get_key_policy(KeyId=key_id)["Policy"])
        iam.create_user(UserName="dev")
        assert f"{ACCOUNT}\t-\t" in (listed := succeed(data, "account", "list"))
        assert "profile default in root-credentials" in listed
        # Another root access key leaves the administrator's in its place.
        another = json.loads(succeed(data, "account", "root-key", ACCOUNT, "--replace", "--json"))
        assert another["file"] == str(data / "root-credentials")
        assert another["access_key_id"] in (data / "root-credentials").read_text()
        assert credentials_of(server).access_key == mine.access_key
        assert client_with(server, "kms", mine).list_keys()["Keys"]
    again = strongroom(data, "init", "--admin")
    assert again.returncode == 1
    assert "was initialized before" in again.stderr


def test_the_line_that_starts_the_server_works_elsewhere(tmp_path: Path) -> None:
    data = tmp_path / "data"
    made = succeed(data, "init", "--admin", "--account", "111122223333", "--region", "eu-west-1")
    (serve,) = [line for line in made.splitlines() if "strongroom serve " in line]
    _, _, *options = shlex.split(serve)
    with running_server(data, tmp_path / "log", *options) as server:
        arn = client_with(server, "sts", credentials_of(server)).get_caller_identity()["Arn"]
        assert arn == "arn:aws:iam::111122223333:user/admin"


def test_an_administrator_of_a_database_that_nodes_share(tmp_path: Path, postgresql: Cluster) -> None:
    data, config = tmp_path / "data", tmp_path / "a b.toml"
    with postgresql.database() as name:
        config.write_text(f'store = "{postgresql.address(name, SERVER)}"\ndata = "{data}"\n')
        made = command("init", "--admin", "--config", str(config))
        assert made.returncode == 0, made.stderr
        (serve,) = [line for line in made.stdout.splitlines() if "strongroom serve " in line]
        # The data folder alone does not tell which database it belongs to.
        alone = command("serve", "--data", str(data), "--listen", "127.0.0.1:0")
        assert alone.returncode == 1
        assert "If its database is PostgreSQL, name the settings with `store` in --config." in alone.stderr
        program, subcommand, *options = shlex.split(serve)
        assert (Path(program).name, subcommand) == ("strongroom", "serve")
        with running_server(data, tmp_path / "log", *options) as server:
            mine = credentials_of(server)
            identity = client_with(server, "sts", mine).get_caller_identity()
            assert identity["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/admin"
            key = client_with(server, "kms", mine).create_key()["KeyMetadata"]["KeyId"]
            client_with(server, "kms", mine).encrypt(KeyId=key, Plaintext=b"text")
            (listed,) = map(json.loads, command("keys", "--json", *options).stdout.splitlines())
            assert (listed["key_id"], listed["last_use"]["operation"]) == (key, "Encrypt")
            assert "OK       database-role" in command("doctor", *options).stdout
        again = command("init", "--admin", "--config", str(config))
        assert "it was initialized before; start the server" in again.stderr


@pytest.mark.parametrize("name", ["", "a b", "x" * 65])
def test_a_name_that_is_none(tmp_path: Path, name: str) -> None:
    wrong = strongroom(tmp_path / "data", "init", f"--admin={name}")
    assert wrong.returncode == 2
    assert "is no name of a user" in wrong.stderr
    assert not (tmp_path / "data").exists()
