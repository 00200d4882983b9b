"""Which URLs secrets may be sent to, by the seal `kms` and by clients for AWS."""

import pytest

from strongroom.aws_clients import AwsError, AwsPlace, client_of
from strongroom.crypto.seal import UnsealError
from strongroom.crypto.seals.kms import KmsKeeper
from strongroom.service_urls import is_confidential

CONFIDENTIAL = (
    *("https://kms.example.com", "HTTPS://10.0.0.7:4599", "http://127.0.0.1:1", "http://127.1.2.3", "http://[::1]:1"),
    *("http://localhost:4599", "http://LOCALHOST", "http://user@localhost/path"),
)
OPEN = (
    *("http://kms.example.com", "http://10.0.0.7:4599", "http://127.0.0.1@10.0.0.7/", "http://localhost.example.com"),
    # Name servers are asked for these.
    *("http://a.localhost", "http://ip6-localhost", "http://localhost.", "http://[::2]"),
)
NO_URLS = ("kms.example.com", "ftp://127.0.0.1", "http://[::1", "https://host:port", "https://", "")


@pytest.mark.parametrize("url", CONFIDENTIAL)
def test_tls_and_this_machine_are_confidential(url: str) -> None:
    assert is_confidential(url)


@pytest.mark.parametrize("url", OPEN)
def test_no_secret_goes_over_a_network_as_plaintext(url: str) -> None:
    assert not is_confidential(url)
    with pytest.raises(AwsError, match="would carry plaintext unencrypted"):
        client_of("kms", AwsPlace(region="us-east-1", endpoint=url), confidential=True)
    with pytest.raises(UnsealError, match="would carry the root key as plaintext"):
        KmsKeeper({"key-id": "alias/seal", "region": "us-east-1", "endpoint": url}, "ab" * 16).unwrap(b"", b"")


@pytest.mark.parametrize("url", NO_URLS)
def test_what_is_no_url_of_a_service_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"no URL|Invalid|Port"):
        is_confidential(url)
    with pytest.raises(AwsError, match="is no URL of a service"):
        client_of("kms", AwsPlace(region="us-east-1", endpoint=url))
    with pytest.raises(UnsealError, match="is no URL of a service"):
        KmsKeeper({"key-id": "alias/seal", "region": "us-east-1", "endpoint": url}, "ab" * 16).wrap(b"", b"")
