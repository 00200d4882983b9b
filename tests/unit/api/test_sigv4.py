"""Signatures against AWS's published examples, and against botocore for everything Hypothesis can think of."""

import re
from urllib.parse import quote

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from strongroom.api.message import HttpRequest
from strongroom.api.sigv4 import Scope, Verifier, canonical_request, parse_authorization, signing_key, string_to_sign
from strongroom.errors import IncompleteSignatureException, InvalidSignatureException
from strongroom.iam import account_root
from strongroom.snapshot.principals import Credential

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
ACCESS_KEY = "AKIDEXAMPLE"
CREDENTIAL = Credential(access_key_id=ACCESS_KEY, secret=SECRET, principal=account_root("111122223333"))
AT = 1440938160.0  # 2015-08-30T12:36:00Z, the date of AWS's test suite


def test_the_key_derivation_of_the_aws_general_reference() -> None:
    scope = Scope("20120215", "us-east-1", "iam", "aws4_request")
    secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
    assert signing_key(secret, scope).hex() == "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d"


def test_the_example_request_of_the_aws_general_reference() -> None:
    request = HttpRequest(
        method="GET",
        path="/",
        query="Action=ListUsers&Version=2010-05-08",
        headers={
            "host": "iam.amazonaws.com",
            "content-type": "application/x-www-form-urlencoded; charset=utf-8",
            "x-amz-date": "20150830T123600Z",
            "authorization": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, "
            "SignedHeaders=content-type;host;x-amz-date, "
            "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
        },
        body=b"",
        peer="",
        secure=False,
    )
    authorization, _ = parse_authorization(request.headers)
    assert string_to_sign(request, authorization, "20150830T123600Z") == (
        b"AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/iam/aws4_request\n"
        b"f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59"
    )
    verifier = Verifier(lambda _id, _token: CREDENTIAL, frozenset({"us-east-1"}), 300)
    assert verifier.verify(request, "iam", AT).credential is CREDENTIAL
    request.headers["authorization"] = request.headers["authorization"][:-1] + "6"
    with pytest.raises(InvalidSignatureException):
        verifier.verify(request, "iam", AT)


def test_a_header_is_signed_once() -> None:
    names = ";".join(["host", *["x-long"] * 1000, "x-amz-date"])
    credential = "Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request"
    headers = {
        "host": "iam.amazonaws.com",
        "x-amz-date": "20150830T123600Z",
        "x-long": "x" * 1000,
        "authorization": f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={names}, Signature={'0' * 64}",
    }
    with pytest.raises(IncompleteSignatureException):
        parse_authorization(headers)


header_values = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20).map(
    lambda text: re.sub(r"[,]", "", text)
)


@given(
    body=st.binary(max_size=200),
    query=st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=4),
    path=st.lists(st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=6), max_size=3),
    value=st.lists(header_values, max_size=3).map("  ".join),
)
def test_what_botocore_signs_verifies(body: bytes, query: dict[str, str], path: list[str], value: str) -> None:
    target = "/" + "/".join(path)
    raw_query = "&".join(f"{quote(name, safe='')}={quote(text, safe='')}" for name, text in query.items())
    url = f"https://kms.example.com{target}" + (f"?{raw_query}" if raw_query else "")
    request = AWSRequest("POST", url, {"X-Amz-Target": "TrentService.X", "X-Extra": value}, body)
    SigV4Auth(Credentials(ACCESS_KEY, SECRET), "kms", "us-east-1").add_auth(request)
    headers = {name.lower(): text.strip() for name, text in request.headers.items()}
    received = HttpRequest("POST", target, raw_query, {**headers, "host": "kms.example.com"}, body, "", secure=True)
    moment = headers["x-amz-date"]
    verifier = Verifier(lambda _id, _token: CREDENTIAL, frozenset({"us-east-1"}), 1e12)
    assert verifier.verify(received, "kms", AT).region == "us-east-1"
    assert moment


def test_a_signed_header_that_is_not_there_counts_as_empty() -> None:
    request = HttpRequest("POST", "/", "", {"host": "h"}, b"", "", secure=False)
    assert b"\nabsent:\nhost:h\n\nabsent;host\n" in canonical_request(request, "absent;host")
