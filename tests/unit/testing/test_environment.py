"""The variables of AWS clients, set for a while."""

import os
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from typing_extensions import override

from strongroom.aws_variables import CLEARED
from strongroom.testing import Account, ControlError
from strongroom.testing.accounts import _new_client
from strongroom.testing.control import Control

ACCOUNT = Account("111122223333", "AKIAIOSFODNN7EXAMPLE", "a-secret", "http://127.0.0.1:1", "eu-west-1")


def test_variables_are_set_and_then_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CLEARED:
        monkeypatch.setenv(name, "before")
    monkeypatch.setenv("AWS_REGION", "before")
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    before = dict(os.environ)
    with ACCOUNT.use():
        assert os.environ["AWS_REGION"] == os.environ["AWS_DEFAULT_REGION"] == "eu-west-1"
        assert os.environ["AWS_ACCESS_KEY_ID"] == "AKIAIOSFODNN7EXAMPLE"
        assert "AWS_PROFILE" not in os.environ
    assert dict(os.environ) == before


def test_variables_are_as_they_were_also_after_an_error() -> None:
    before = dict(os.environ)
    with pytest.raises(ZeroDivisionError), ACCOUNT.use():
        raise ZeroDivisionError
    assert dict(os.environ) == before


def test_the_default_session_does_not_remember_the_access_key_of_another_account() -> None:
    with ACCOUNT.use():
        first = boto3.client("kms")
        assert default_access_key() == "AKIAIOSFODNN7EXAMPLE"
        assert first.meta.endpoint_url == "http://127.0.0.1:1"
    other = Account("111122223333", "AKIAI44QH8DHBEXAMPLE", "a-secret", "http://127.0.0.1:2", "eu-west-1")
    with other.use():
        second = boto3.client("kms")
        assert default_access_key() == "AKIAI44QH8DHBEXAMPLE"
        assert second.meta.endpoint_url == "http://127.0.0.1:2"


def default_access_key() -> str:
    credentials = boto3.DEFAULT_SESSION.get_credentials() if boto3.DEFAULT_SESSION else None
    assert credentials is not None
    return credentials.access_key


def test_the_server_is_reached_through_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "example.com")
    monkeypatch.delenv("no_proxy", raising=False)
    with ACCOUNT.use():
        assert os.environ["no_proxy"] == os.environ["NO_PROXY"] == "127.0.0.1,example.com"
    assert os.environ["NO_PROXY"] == "example.com"


def test_an_account_shows_no_secret() -> None:
    assert "a-secret" not in repr(ACCOUNT)
    assert "AKIAIOSFODNN7EXAMPLE" in repr(ACCOUNT)


def test_a_server_that_does_not_answer_is_named() -> None:
    with pytest.raises(ControlError, match=r"the server at http://127\.0\.0\.1:1 does not answer"):
        Control("http://127.0.0.1:1").get("")


class NoKeys(BaseHTTPRequestHandler):
    """Answers each call as ListKeys of an account without keys."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"Keys": []}')

    @override
    def log_message(self, format: str, *_: object) -> None:
        """Log nothing."""


@pytest.mark.parametrize("config", [None, Config(retries={"total_max_attempts": 1})])
def test_a_client_heeds_no_proxy_and_nothing_of_the_users(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, config: Config | None
) -> None:
    (tmp_path / "config").write_text("[profile")
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
        monkeypatch.setenv(name, "missing")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "config"))
    for name in ("AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"):
        monkeypatch.setenv(name, "true")
    _new_client.cache_clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), NoKeys) as answering:
        threading.Thread(target=answering.serve_forever, daemon=True).start()
        account = replace(ACCOUNT, url=f"http://127.0.0.1:{answering.server_port}")
        assert account.client(config=config).list_keys()["Keys"] == []
        answering.shutdown()
