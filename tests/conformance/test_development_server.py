"""``strongroom dev``: its clock, its faults, its accounts; and that no other server has them."""

import base64
import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from child_processes import killed
from clients import sign
from local_server import running_server
from presigned_urls import presigned_url
from strongroom.clock import DAY
from strongroom.testing import Account, Clock, ControlError, Server, StartError, server
from strongroom.testing.server import start

CONTROL = "/_strongroom/dev"
VECTORS = Path(__file__).parents[1] / "vectors" / "local-kms"


@pytest.fixture(scope="module")
def dev() -> Iterator[Server]:
    with server(regions=["us-east-1", "eu-west-1"], seed=VECTORS / "seed.yaml") as running:
        yield running
        log = running.log()
    assert "Traceback" not in log
    assert "ERROR" not in log
    assert "WARNING" not in log


@pytest.fixture
def account(dev: Server) -> Account:
    return dev.create_account()


@pytest.fixture
def kms(account: Account) -> Any:
    return account.client()


@pytest.fixture
def clock(dev: Server) -> Iterator[Clock]:
    yield dev.clock
    dev.clock.reset()


def ask(url: str, method: str, path: str, body: object = None, **headers: str) -> tuple[int, str, dict[str, str]]:
    """Send a request; return status, body, and the headers of the answer with names in lower case."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        return answer.status, text, {name.lower(): value for name, value in answer.getheaders()}
    finally:
        connection.close()


def refused(call: Callable[[], object]) -> str:
    """Return the code of the error that a call ends in."""
    with pytest.raises(ClientError) as refusal:
        call()
    return str(refusal.value.response["Error"]["Code"])


# --- the clock


def test_a_key_rotates_each_year_on_its_day(kms: Any, clock: Clock) -> None:
    key = kms.create_key()["KeyMetadata"]
    kms.enable_key_rotation(KeyId=key["KeyId"])
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"before")["CiphertextBlob"]
    due = kms.get_key_rotation_status(KeyId=key["KeyId"])["NextRotationDate"].timestamp()
    clock.advance(days=3 * 365)
    dates = [each["RotationDate"].timestamp() for each in kms.list_key_rotations(KeyId=key["KeyId"])["Rotations"]]
    assert dates == pytest.approx([due, due + 365 * DAY, due + 730 * DAY], abs=1)
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"before"


def test_a_key_is_deleted_when_its_waiting_period_is_over(kms: Any, clock: Clock) -> None:
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    clock.advance(days=6, hours=23)
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "PendingDeletion"
    clock.advance(hours=1)
    assert refused(lambda: kms.describe_key(KeyId=key)) == "NotFoundException"


def test_the_keys_of_a_seed_are_there_and_what_local_kms_encrypted_opens(dev: Server) -> None:
    made = json.loads((VECTORS / "made_by_local_kms.json").read_text())["ciphertexts"][0]
    opened = dev.account.client().decrypt(
        CiphertextBlob=base64.b64decode(made["blob"]), EncryptionContext=made["context"]
    )
    assert opened["Plaintext"] == base64.b64decode(made["plaintext"])


def test_the_tags_of_localstack_choose_the_id_of_a_key(kms: Any) -> None:
    wanted = "11111111-2222-4333-8444-555555555555"
    key = kms.create_key(Tags=[{"TagKey": "_custom_id_", "TagValue": wanted}])["KeyMetadata"]
    assert key["KeyId"] == wanted


def test_a_session_ends(account: Account, clock: Clock) -> None:
    session = account.client("sts").get_session_token(DurationSeconds=3600)["Credentials"]
    kms = account.client(
        aws_access_key_id=session["AccessKeyId"],
        aws_secret_access_key=session["SecretAccessKey"],
        aws_session_token=session["SessionToken"],
    )
    clock.advance(minutes=59)
    kms.list_keys()
    clock.advance(minutes=1)
    assert refused(kms.list_keys) == "ExpiredTokenException"


def test_clients_may_go_by_the_clock_of_the_machine_or_of_the_server(account: Account, clock: Clock) -> None:
    clock.advance(days=1000)
    now = clock.now()
    moments = (now - timedelta(days=1000), now, now - timedelta(days=500), now + timedelta(hours=1))
    answers = [signed_at(account, moment) for moment in moments]
    assert [status for status, _, _ in answers] == [200, 200, 400, 400]
    assert "Signature expired" in answers[2][1]
    assert "Signature not yet current" in answers[3][1]
    wrong = replace(account, secret_access_key="wrong")
    assert "signature we calculated does not match" in signed_at(wrong, now - timedelta(days=1000))[1]


def signed_at(account: Account, moment: datetime, **more: str) -> tuple[int, str, dict[str, str]]:
    headers = {"X-Amz-Target": "TrentService.ListKeys", "Content-Type": "application/x-amz-json-1.1", **more}
    request = AWSRequest("POST", f"{account.url}/", headers, b"{}")
    sign(request, Credentials(account.access_key_id, account.secret_access_key), "kms", account.region, moment)
    return ask(account.url, "POST", "/", {}, **dict(request.headers.items()))


def test_a_presigned_url_expires_by_the_clock_that_it_was_dated_by(account: Account, clock: Clock) -> None:
    credentials = Credentials(account.access_key_id, account.secret_access_key)

    def status(url: str) -> int:
        parts = urlsplit(url)
        return ask(account.url, "GET", f"{parts.path}?{parts.query}")[0]

    sts = account.client("sts")
    by_client = sts.generate_presigned_url("get_caller_identity", HttpMethod="GET")
    clock.advance(days=1)
    by_server = presigned_url(account.url, credentials, clock.now().timestamp())
    assert (status(by_client), status(by_server)) == (200, 200)
    clock.advance(minutes=16)
    assert (status(by_client), status(by_server)) == (200, 403)


def test_the_clock_can_be_set_back_and_new_dates_are_right(kms: Any, clock: Clock) -> None:
    clock.advance(days=400)
    clock.reset()
    assert clock.ahead().total_seconds() == 0
    key = kms.create_key()["KeyMetadata"]
    deleted_on = kms.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=7)["DeletionDate"]
    assert (deleted_on - key["CreationDate"]).total_seconds() == pytest.approx(7 * DAY, abs=30)
    clock.advance(days=7)
    assert refused(lambda: kms.describe_key(KeyId=key["KeyId"])) == "NotFoundException"


# --- accounts and reset


def test_accounts_have_nothing_in_common(dev: Server) -> None:
    one, other = dev.create_account(), dev.create_account("123456789012")
    key = one.client().create_key()["KeyMetadata"]["Arn"]
    assert other.client().list_keys()["Keys"] == []
    assert refused(lambda: other.client().describe_key(KeyId=key)) == "AccessDeniedException"
    with pytest.raises(ControlError, match="account 123456789012 exists already"):
        dev.create_account("123456789012")


def test_a_reset_leaves_nothing_but_the_first_account() -> None:
    with server() as dev:
        one = dev.create_account()
        for account in (dev.account, one):
            key = account.client().create_key()["KeyMetadata"]["KeyId"]
            account.client().create_alias(AliasName="alias/a", TargetKeyId=key)
            account.client("iam").create_user(UserName="ada")
        user = dev.account.client("iam").create_access_key(UserName="ada")["AccessKey"]
        dev.faults.throttle("ListKeys")
        dev.clock.advance(days=1)
        dev.reset()
        assert dev.clock.ahead().total_seconds() == 0
        kms = dev.account.client()
        assert (kms.list_keys()["Keys"], kms.list_aliases()["Aliases"]) == ([], [])
        assert dev.account.client("iam").list_users()["Users"] == []
        assert refused(one.client().list_keys) == "UnrecognizedClientException"
        by_user = boto3.client(
            "kms",
            endpoint_url=dev.url,
            region_name="us-east-1",
            aws_access_key_id=user["AccessKeyId"],
            aws_secret_access_key=user["SecretAccessKey"],
        )
        assert refused(by_user.list_keys) == "UnrecognizedClientException"
        kms.create_alias(AliasName="alias/a", TargetKeyId=kms.create_key()["KeyMetadata"]["KeyId"])
        assert dev.data.exists()
    assert not dev.data.exists()


# --- the control interface


def test_every_answer_says_that_it_is_a_development_server(dev: Server) -> None:
    answers = [ask(dev.url, "GET", path) for path in ("/healthz", "/readyz", "/x", CONTROL)]
    answers += [ask(dev.url, "POST", "/", {}), ask(dev.url, "BREW", "/")]
    assert {"(development)" in headers["server"] for _, _, headers in answers} == {True}
    status, text, _ = answers[1]
    assert status == 200
    assert text.startswith("ok\ndevelopment: ")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("GET", "/nothing", None, 404, "there is /_strongroom/dev"),
        ("POST", "/clock", {}, 405, "use GET"),
        ("GET", "/reset", None, 405, "use POST"),
        ("POST", "/clock/advance", {"fortnights": 1}, 400, "unknown field `fortnights`"),
        ("POST", "/clock/advance", {"days": "1"}, 400, "Expected `float`"),
        ("POST", "/clock/advance", {}, 400, "more than 0 seconds"),
        ("POST", "/accounts", {"account": "12"}, 400, "`account` must have 12 digits"),
        ("POST", "/faults", {"operation": "Sign", "delay": 1, "account": "x"}, 400, "`account` must have 12 digits"),
        ("POST", "/faults", {"operation": "Nope", "error": "X"}, 400, "'Nope' is no operation of this server"),
    ],
)
def test_what_cannot_be_done_is_refused(
    dev: Server, method: str, path: str, body: object, status: int, said: str
) -> None:
    found, text, _ = ask(dev.url, method, CONTROL + path, body)
    assert found == status
    assert said in json.loads(text)["error"]


@pytest.mark.parametrize("header", [{"Origin": "http://127.0.0.1"}, {"Host": "rebound.example.com"}])
def test_pages_in_browsers_cannot_use_it(dev: Server, account: Account, header: dict[str, str]) -> None:
    status, _, headers = ask(dev.url, "POST", f"{CONTROL}/reset", {}, **header)
    assert (status, "(development)" in headers["server"]) == (403, True)
    # A page knows the published access key, so its signature can be right.
    assert signed_at(account, dev.clock.now(), **header)[0] == 403
    assert signed_at(account, dev.clock.now(), Host="kms.localhost")[0] == 200


# --- no other server has any of this


def test_a_server_that_serves_has_no_control_and_none_of_its_code(tmp_path: Path) -> None:
    modules = {"PYTHONPROFILEIMPORTTIME": "1"}
    with running_server(tmp_path / "data", tmp_path / "log", "--workers", "2", environment=modules) as served:
        status, _, headers = ask(served.endpoint, "GET", CONTROL)
        assert (status, "server" in headers) == (404, False)
        status, _, headers = ask(served.endpoint, "POST", f"{CONTROL}/reset", {})
        assert (status, "server" in headers) == (404, False)
        assert ask(served.endpoint, "GET", "/readyz")[1] == "ok\n"
        assert served.stop() == 0
    loaded = (tmp_path / "log").read_text()
    assert loaded.count("strongroom.server.server\n") == 3
    for package in ("strongroom.development", "strongroom.seeds", "strongroom.testing"):
        assert package not in loaded


def test_it_serves_no_data_folder_of_another_server(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "strongroom.db").touch()
    with pytest.raises(StartError, match="was not made by strongroom dev"):
        start(options=["--data", str(tmp_path / "data")])


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_each_signal_that_ends_it_has_its_data_removed(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "strongroom", "dev", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process, killed(process):
        assert process.stdout is not None
        data = Path(json.loads(process.stdout.readline())["data"])
        assert data.exists()
        process.send_signal(number)
        assert process.wait(60) == 0
    assert not data.exists()


def test_data_that_is_kept_is_there_at_the_next_start(tmp_path: Path) -> None:
    options = ["--data", str(tmp_path / "data"), "--fixed-credentials"]
    with server(options=options, account="111122223333") as dev:
        key = dev.account.client().create_key()["KeyMetadata"]["KeyId"]
        dev.clock.advance(days=30)
    with server(options=options, account="111122223333") as dev:
        assert dev.account.access_key_id == "AKIAIOSFODNN7EXAMPLE"
        assert dev.account.client().describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Enabled"
        assert dev.clock.ahead().total_seconds() == 0
    with pytest.raises(StartError, match="has another access key"):
        start(
            options=[
                "--data",
                str(tmp_path / "data"),
                "--access-key-id=A" + 15 * "B",
                "--secret-access-key=" + 16 * "s",
            ]
        )


def test_a_start_that_fails_says_why_in_one_line() -> None:
    with pytest.raises(StartError, match=r"^strongroom dev did not start: --region is not valid: ") as failed:
        start(regions=["nowhere"])
    assert "\n" not in str(failed.value)
