"""An access key that is in the data folder before its first start is the one of the account."""

from pathlib import Path

import pytest

from accounts import strongroom, succeed
from clients import client_with, credentials_of
from local_server import running_server

KEY = """[default]
aws_access_key_id = AKIAIOSFODNN7EXAMPLE
aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY
"""
OTHER = "[222233334444]\naws_access_key_id=TESTTESTTESTTEST\naws_secret_access_key=test-test-test-test\n"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir(0o700)
    return folder


def test_the_keys_of_the_file_are_used_and_the_file_stays_as_it_is(data: Path, tmp_path: Path) -> None:
    text = f"# of the test\n{KEY}\n{OTHER}"
    (data / "credentials").write_text(text)
    with running_server(data, tmp_path / "log") as server:
        succeed(data, "account", "create", "222233334444")
        assert server.stop() == 0
    with running_server(data, tmp_path / "log") as server:
        for profile, account in (("default", "000000000000"), ("222233334444", "222233334444")):
            key = credentials_of(server, profile)
            sts = client_with(server, "sts", key)
            assert sts.get_caller_identity()["Arn"] == f"arn:aws:iam::{account}:root"
            assert sts.get_access_key_info(AccessKeyId=key.access_key)["Account"] == account
        assert server.stop() == 0
    assert (data / "credentials").read_text() == text


def test_other_profiles_are_kept_and_one_is_added(data: Path, tmp_path: Path) -> None:
    (data / "credentials").write_text(OTHER)
    with running_server(data, tmp_path / "log") as server:
        assert server.stop() == 0
    text = (data / "credentials").read_text()
    assert text.startswith(OTHER)
    assert "[default]" in text


@pytest.mark.parametrize(
    "text",
    [
        "[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\n",
        KEY.replace("AKIA", "ASIA"),
        KEY.replace("AKIAIOSFODNN7EXAMPLE", "short"),
        KEY.replace("wJalr", "wJ alr"),
        f"{KEY}aws_session_token = x\n",
        "aws_access_key_id = AKIAIOSFODNN7EXAMPLE\n",
        KEY + KEY,
        "[default\n",
        "aws_secret_access_key = wJalrXUtnFEMI\n",
        "[default]\nwJalrXUtnFEMI\n",
    ],
)
def test_a_profile_that_cannot_be_used_is_named_and_kept(data: Path, text: str) -> None:
    (data / "credentials").write_text(text)
    done = strongroom(data, "serve", "--listen", "127.0.0.1:0", "--workers", "1")
    (line,) = done.stderr.strip().splitlines()
    assert done.returncode == 1
    assert f"`{data / 'credentials'}`" in line
    assert "wJalr" not in line
    assert (data / "credentials").read_text() == text


def test_a_key_that_is_in_use_is_refused(data: Path, tmp_path: Path) -> None:
    with running_server(data, tmp_path / "log") as server:
        key = credentials_of(server)
        text = (data / "credentials").read_text() + OTHER.replace("TESTTESTTESTTEST", key.access_key)
        (data / "credentials").write_text(text)
        done = strongroom(data, "account", "create", "222233334444")
        assert done.returncode == 1
        assert "is in use already" in done.stderr
        assert server.stop() == 0
