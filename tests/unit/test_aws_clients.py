"""Clients for the APIs of AWS: what is refused before a call, and how refusals are worded."""

import sys

import pytest

from free_ports import free_port
from small_kms import refusal
from strongroom.aws_clients import AwsError, AwsPlace, client_of, readable_refusals

PLACE = AwsPlace(region="us-east-1", endpoint="https://kms.example.com")


@pytest.fixture(autouse=True)
def _no_metadata_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (AwsPlace(), "no Region is set for AWS: name one, or set AWS_DEFAULT_REGION"),
        (AwsPlace(profile="missing", region="us-east-1"), "there is no AWS profile `missing`"),
        (AwsPlace(region="us-east-1", endpoint="kms.example.com"), "is no URL of a service"),
        (AwsPlace(region="us-east-1", endpoint="https://[::1"), "is no URL of a service"),
        (AwsPlace(region="us-east-1", endpoint="http://kms.example.com"), "would carry plaintext unencrypted"),
        (AwsPlace(region="no Region", endpoint=None), "AWS cannot be called: "),
    ],
)
def test_places_that_cannot_be_called(place: AwsPlace, message: str) -> None:
    with pytest.raises(AwsError) as refused:
        client_of("kms", place, confidential=True)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost"])
def test_plain_http_stays_on_this_machine(endpoint: str) -> None:
    client = client_of("kms", AwsPlace(region="us-east-1", endpoint=endpoint), confidential=True)
    assert client.meta.endpoint_url == endpoint
    client.close()


def test_an_endpoint_of_the_environment_is_checked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", "http://kms.example.com")
    with pytest.raises(AwsError, match="would carry plaintext unencrypted"):
        client_of("kms", AwsPlace(region="us-east-1"), confidential=True)


def test_without_credentials() -> None:
    client = client_of("kms", PLACE)
    with (
        pytest.raises(AwsError, match=r"there are no AWS credentials for https://kms\.example\.com: name a profile"),
        readable_refusals(PLACE),
    ):
        client.list_keys()
    client.close()


def test_without_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setattr("strongroom.aws_clients._ATTEMPTS", 1)
    place = AwsPlace(region="us-east-1", endpoint=f"http://127.0.0.1:{free_port()}")
    client = client_of("kms", place)
    with (
        pytest.raises(AwsError, match=r"http://127\.0\.0\.1:\d+ does not answer: ") as refused,
        readable_refusals(place),
    ):
        client.list_keys()
    assert refused.value.code == ""
    client.close()


def test_a_refusal_has_its_code() -> None:
    with (
        pytest.raises(AwsError, match=r"https://kms\.example\.com answers AccessDeniedException: refused") as refused,
        readable_refusals(PLACE),
    ):
        raise refusal("AccessDeniedException", "ListKeys")
    assert refused.value.code == "AccessDeniedException"


def test_without_botocore(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "botocore.config", None)
    with pytest.raises(AwsError, match=r"pip install 'strongroom\[aws\]'"):
        client_of("kms", PLACE)
