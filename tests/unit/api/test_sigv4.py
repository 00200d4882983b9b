"""Signatures compared with AWS's published examples, and with botocore for generated requests."""

import re
from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from clients import sign
from strongroom.api.sigv4 import Scope, Verifier, canonical_request, parse_authorization, signing_key, string_to_sign
from strongroom.errors import IncompleteSignatureException, InvalidSignatureException, KmsError
from strongroom.http.message import HttpRequest
from strongroom.iam import account_root
from strongroom.snapshot.principals import Credential

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
ACCESS_KEY = "AKIDEXAMPLE"
CREDENTIAL = Credential(access_key_id=ACCESS_KEY, secret=SECRET, principal=account_root("111122223333"))
AT = 1440938160.0  # 2015-08-30T12:36:00Z, the date of AWS's test suite


def test_key_derivation_matches_the_aws_general_reference() -> None:
    scope = Scope("20120215", "us-east-1", "iam", "aws4_request")
    secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
    assert signing_key(secret, scope).hex() == "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d"


def test_the_example_request_of_the_aws_general_reference_verifies() -> None:
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
    assert string_to_sign(
        authorization, "20150830T123600Z", canonical_request(request, authorization.signed_headers)
    ) == (
        b"AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/iam/aws4_request\n"
        b"f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59"
    )
    verifier = Verifier(lambda *_, **__: CREDENTIAL, frozenset({"us-east-1"}), 300)
    assert verifier.verify(request, "iam", AT).credential is CREDENTIAL
    request.headers["authorization"] = request.headers["authorization"][:-1] + "6"
    with pytest.raises(InvalidSignatureException):
        verifier.verify(request, "iam", AT)


def test_a_header_listed_twice_in_signed_headers_is_refused() -> None:
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
    value=st.lists(header_values, max_size=3).flatmap(
        lambda words: st.sampled_from(["  ", "\t", " \t", "\t \t", " "]).map(lambda gap: gap.join(words))
    ),
)
def test_requests_signed_by_botocore_verify(body: bytes, query: dict[str, str], path: list[str], value: str) -> None:
    target = "/" + "/".join(path)
    raw_query = "&".join(f"{quote(name, safe='')}={quote(text, safe='')}" for name, text in query.items())
    url = f"https://kms.example.com{target}" + (f"?{raw_query}" if raw_query else "")
    request = AWSRequest("POST", url, {"X-Amz-Target": "TrentService.X", "X-Extra": value}, body)
    SigV4Auth(Credentials(ACCESS_KEY, SECRET), "kms", "us-east-1").add_auth(request)
    headers = {name.lower(): text.strip(" \t") for name, text in request.headers.items()}
    received = HttpRequest("POST", target, raw_query, {**headers, "host": "kms.example.com"}, body, "", secure=True)
    moment = headers["x-amz-date"]
    verifier = Verifier(lambda *_, **__: CREDENTIAL, frozenset({"us-east-1"}), 1e12)
    assert verifier.verify(received, "kms", AT).region == "us-east-1"
    assert moment


def test_a_missing_signed_header_counts_as_empty() -> None:
    request = HttpRequest("POST", "/", "", {"host": "h"}, b"", "", secure=False)
    assert b"\nabsent:\nhost:h\n\nabsent;host\n" in canonical_request(request, "absent;host")


SESSION = Credential(
    access_key_id=ACCESS_KEY, secret=SECRET, principal=account_root("111122223333"), expires_at=AT + 60
)


def signed(body: bytes, service: str = "kms", region: str = "us-east-1", **extra: str) -> HttpRequest:
    request = AWSRequest("POST", "https://kms.example.com/", {"X-Amz-Target": "TrentService.X", **extra}, body)
    sign(request, Credentials(ACCESS_KEY, SECRET), service, region, datetime.fromtimestamp(AT, UTC))
    headers = {name.lower(): text for name, text in request.headers.items()}
    return HttpRequest("POST", "/", "", {**headers, "host": "kms.example.com"}, body, "", secure=True)


def outcome(verifier: Verifier, request: HttpRequest, service: str, now: float) -> object:
    try:
        return verifier.verify(request, service, now)
    except KmsError as error:
        return type(error), error.message


HEADERS = st.sampled_from(
    [
        *("authorization", "host", "x-amz-date", "x-amz-target"),
        *("x-amz-security-token", "x-strongroom-on-behalf-of", "x-odd"),
    ]
)


@st.composite
def nearly_signed(draw: st.DrawFn) -> HttpRequest:
    """Return a signed request, with up to a few changes after signing."""
    request = signed(draw(st.sampled_from([b"", b"{}"])))
    texts = st.sampled_from(["", "a", "0", "\xff", "20150830T123601Z", ";host"])
    for name, place, text in draw(st.lists(st.tuples(HEADERS, st.integers(0, 200), texts), max_size=2)):
        value = request.headers.get(name, "")
        request.headers[name] = value[:place] + text + value[place + 1 :]
    request.headers.pop(draw(st.one_of(st.just(""), HEADERS)), None)
    request.body = draw(st.sampled_from([request.body, request.body, b"other"]))
    lines = [("POST", "/", "")] * 4 + [("GET", "/", ""), ("POST", "/x", ""), ("POST", "/", "a=b")]
    request.method, request.path, request.query = draw(st.sampled_from(lines))
    return request


@given(
    request=nearly_signed(),
    service=st.sampled_from(["kms", "kms", "kms", "sts"]),
    now=st.sampled_from([AT, AT, AT + 61, AT + 301, AT - 301]),
    credential=st.sampled_from([CREDENTIAL, CREDENTIAL, SESSION, None]),
)
def test_the_caches_of_a_verifier_do_not_change_its_decisions(
    request: HttpRequest, service: str, now: float, credential: Credential | None
) -> None:
    known: list[Credential | None] = [CREDENTIAL]
    warm = Verifier(lambda *_, **__: known[0], frozenset({"us-east-1"}), 300)
    for body in (b"", b"{}", b"more"):
        assert warm.verify(signed(body), "kms", AT).credential is CREDENTIAL
    known[0] = credential
    cold = Verifier(lambda *_, **__: credential, frozenset({"us-east-1"}), 300)
    assert outcome(warm, request, service, now) == outcome(cold, request, service, now)


@pytest.mark.parametrize(
    ("more", "computed"), [({}, 0), ({"Amz-Sdk-Invocation-Id": "1"}, 1), ({"X-Long": "x" * 4096}, 1)]
)
def test_only_small_and_repeated_headers_are_cached(
    monkeypatch: pytest.MonkeyPatch, more: dict[str, str], computed: int
) -> None:
    verifier = Verifier(lambda *_, **__: CREDENTIAL, frozenset({"us-east-1"}), 300)
    verifier.verify(signed(b"one", **more), "kms", AT)
    written: list[bytes] = []

    def write(request: HttpRequest, names: str) -> bytes:
        written.append(canonical_request(request, names))
        return written[-1]

    monkeypatch.setattr("strongroom.api.sigv4.canonical_request", write)
    verifier.verify(signed(b"two", **more), "kms", AT)
    assert len(written) == computed


GLOBAL = [
    ("eu-west-1", "us-east-1", "us-east-1"),
    ("eu-west-1", "aws-global", "us-east-1"),
    ("cn-northwest-1", "cn-north-1", "cn-north-1"),
    ("cn-northwest-1", "aws-cn-global", "cn-north-1"),
    ("us-gov-east-1", "us-gov-west-1", "us-gov-west-1"),
    ("us-gov-east-1", "aws-us-gov-global", "us-gov-west-1"),
]


@pytest.mark.parametrize("service", ["iam", "sts"])
@pytest.mark.parametrize(("served", "signed_for", "region"), GLOBAL)
def test_iam_and_sts_are_also_signed_for_the_global_endpoint_of_the_partition(
    service: str, served: str, signed_for: str, region: str
) -> None:
    verifier = Verifier(lambda *_, **__: CREDENTIAL, frozenset({served}), 300)
    # The second time, the request is cached.
    for body in (b"a", b"b"):
        assert verifier.verify(signed(body, service, signed_for), service, AT).region == region


@pytest.mark.parametrize(("served", "signed_for", "_region"), GLOBAL)
def test_a_global_endpoint_is_neither_for_kms_nor_for_another_partition(
    served: str, signed_for: str, _region: str
) -> None:
    elsewhere = "ap-south-1" if served.startswith(("cn-", "us-gov-")) else "cn-northwest-1"
    for service, region in (("kms", served), ("sts", elsewhere)):
        verifier = Verifier(lambda *_, **__: CREDENTIAL, frozenset({region}), 300)
        with pytest.raises(InvalidSignatureException, match=f"valid region, not '{signed_for}'"):
            verifier.verify(signed(b"", service, signed_for), service, AT)
