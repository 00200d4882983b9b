"""The signature of requests to proxies, compared with botocore's."""

import time

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from strongroom.crypto.xks.signature import ProxyCredential, signed_request

NOW = 1_790_000_000.0
CREDENTIAL = ProxyCredential("BETWEEN2TAND30CHARACTERS", "PleaseReplaceThisWithYourSecretOfSufficientLength/+=")


@pytest.mark.parametrize("path", ["/kms/xks/v1/health", "/a_b/c-d/kms/xks/v1/keys/key-1_2.3/encrypt"])
@pytest.mark.parametrize("body", [b"", b'{"requestMetadata":{}}'])
def test_a_request_is_signed_as_botocore_signs_it(path: str, body: bytes) -> None:
    head, _, sent = signed_request("proxy.example.com", path, body, CREDENTIAL, "eu-west-1", NOW).partition(b"\r\n\r\n")
    line, *fields = head.decode().split("\r\n")
    headers = dict(field.split(": ", 1) for field in fields)
    assert line == f"POST {path} HTTP/1.1"
    assert sent == body
    assert headers["content-length"] == str(len(body))
    assert headers["content-type"] == "application/json"
    request = AWSRequest("POST", f"https://proxy.example.com{path}", data=body)
    timestamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(NOW))
    request.context["timestamp"] = request.headers["X-Amz-Date"] = headers["x-amz-date"]
    assert headers["x-amz-date"] == timestamp
    signer = SigV4Auth(Credentials(CREDENTIAL.access_key_id, CREDENTIAL.secret), "kms-xks-proxy", "eu-west-1")
    signature = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    scope = f"{timestamp[:8]}/eu-west-1/kms-xks-proxy/aws4_request"
    assert headers["authorization"] == (
        f"AWS4-HMAC-SHA256 Credential={CREDENTIAL.access_key_id}/{scope}, SignedHeaders=host;x-amz-date, "
        f"Signature={signature}"
    )


def test_the_repr_of_a_credential_does_not_show_its_secret() -> None:
    assert CREDENTIAL.secret not in repr(CREDENTIAL)
