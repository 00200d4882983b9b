"""Presigned GetCallerIdentity under a manual clock: which URLs are accepted, for how long, and what a change does."""

from urllib.parse import quote, unquote

import pytest
from botocore.credentials import Credentials
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from direct_client import Answer, DirectClient
from presigned_urls import IDENTITY, direct_request, presigned_url
from strongroom.api.presigned import presigned_call
from strongroom.http.message import HttpRequest

ENDPOINT = "https://strongroom:4599"
ROOT = "arn:aws:iam::000000000000:root"


def url_of(direct: DirectClient, **inputs: object) -> str:
    credentials = inputs.pop("credentials", direct.profile())
    assert isinstance(credentials, Credentials)
    return presigned_url(ENDPOINT, credentials, direct.local.clock.now(), **inputs)  # type: ignore[arg-type]


def get(direct: DirectClient, url: str, headers: dict[str, str] | None = None, method: str = "GET") -> Answer:
    return direct.receive(direct_request(url, headers, method))


def refused(direct: DirectClient, url: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
    answer = get(direct, url, headers)
    return answer.status, answer.error


def test_it_names_the_signer_and_is_recorded_as_any_call(direct: DirectClient) -> None:
    answer = get(direct, url_of(direct))
    assert answer.field("Arn") == ROOT
    record = direct.local.records()[-1]
    assert (record["eventSource"], record["eventName"]) == ("sts.amazonaws.com", "GetCallerIdentity")
    assert record["userIdentity"]["arn"] == ROOT
    assert "Signature" not in str(record)


def test_it_is_good_more_than_once(direct: DirectClient) -> None:
    url = url_of(direct)
    assert [get(direct, url).status for _ in range(2)] == [200, 200]


@pytest.mark.parametrize("expires", [0, 1, 60, 604800])
def test_it_is_good_for_a_quarter_of_an_hour_whatever_it_says(direct: DirectClient, expires: int) -> None:
    url = url_of(direct, expires=expires)
    direct.local.clock.advance(900)
    assert get(direct, url).status == 200
    direct.local.clock.advance(1)
    answer = get(direct, url)
    assert (answer.status, answer.error) == (403, "SignatureDoesNotMatch")
    assert "Signature expired: " in answer.text
    assert "- 15 min.)" in answer.text


def test_a_url_from_the_future(direct: DirectClient) -> None:
    now = direct.local.clock.now()
    assert get(direct, presigned_url(ENDPOINT, direct.profile(), now + 300)).status == 200
    answer = get(direct, presigned_url(ENDPOINT, direct.profile(), now + 301))
    assert "Signature not yet current: " in answer.text


def test_a_signed_header_must_be_sent(direct: DirectClient) -> None:
    url = url_of(direct, headers={"x-k8s-aws-id": "cluster"})
    assert get(direct, url, {"x-k8s-aws-id": "cluster"}).status == 200
    for headers in ({"x-k8s-aws-id": "another"}, {}):
        assert refused(direct, url, headers) == (403, "SignatureDoesNotMatch")


@pytest.mark.parametrize("name", ["X-Amz-Target", "X-Strongroom-On-Behalf-Of"])
def test_a_header_that_means_something_must_be_signed(direct: DirectClient, name: str) -> None:
    answer = get(direct, url_of(direct), {name: "x"})
    assert (answer.status, answer.error) == (403, "SignatureDoesNotMatch")
    assert f"&apos;{name.lower()}&apos;" in answer.text or f"'{name.lower()}'" in answer.text


def test_a_url_of_a_session_carries_its_token(direct: DirectClient) -> None:
    made = direct.query(new_user(direct), "sts", "GetSessionToken", DurationSeconds="900")
    session = Credentials(*(made.field(name) for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")))
    url = url_of(direct, credentials=session)
    assert get(direct, url).field("Arn") == "arn:aws:iam::000000000000:user/alice"
    start, _, token = url.partition("&X-Amz-Security-Token=")
    without = f"{start}&{token.partition('&')[2]}"
    for headers in ({}, {"X-Amz-Security-Token": str(session.token)}):
        assert refused(direct, without, headers) == (403, "InvalidClientTokenId")
    direct.local.clock.advance(900)
    assert refused(direct, url) == (403, "ExpiredToken")


def new_user(direct: DirectClient) -> Credentials:
    direct.query(direct.profile(), "iam", "CreateUser", UserName="alice")
    made = direct.query(direct.profile(), "iam", "CreateAccessKey", UserName="alice")
    return Credentials(made.field("AccessKeyId"), made.field("SecretAccessKey"))


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1", "aws-global"])
def test_it_is_signed_for_any_region_of_sts(direct: DirectClient, region: str) -> None:
    assert get(direct, url_of(direct, region=region)).status == 200


@pytest.mark.parametrize(
    ("region", "service", "message"),
    [
        ("ap-south-1", "sts", "Credential should be scoped to a valid region, not 'ap-south-1'. "),
        ("us-east-1", "kms", "Credential should be scoped to correct service: 'sts'. "),
        ("us-east-1", "s3", "Credential should be scoped to correct service: 'sts'. "),
    ],
)
def test_another_scope(direct: DirectClient, region: str, service: str, message: str) -> None:
    answer = get(direct, url_of(direct, region=region, service=service))
    assert (answer.status, answer.error) == (403, "SignatureDoesNotMatch")
    assert message in answer.text


@pytest.mark.parametrize(
    "missing", ["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-SignedHeaders", "X-Amz-Date", "X-Amz-Signature"]
)
def test_a_missing_parameter_is_named(direct: DirectClient, missing: str) -> None:
    fields = url_of(direct).partition("?")[2].split("&")
    left = [f"{missing}=" if each.startswith(f"{missing}=") else each for each in fields]
    answer = get(direct, f"{ENDPOINT}/?{'&'.join(left)}")
    assert (answer.status, answer.error) == (403, "IncompleteSignature")
    assert f"AWS query-string parameters must include '{missing}'. Re-examine the query-string" in answer.text


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1", "IncompleteSignature"),
        ("X-Amz-SignedHeaders=host", "X-Amz-SignedHeaders=host%2C%20Signature%3D", "IncompleteSignature"),
        ("X-Amz-SignedHeaders=host", "X-Amz-SignedHeaders=host%3Bhost", "IncompleteSignature"),
        ("X-Amz-SignedHeaders=host", "X-Amz-SignedHeaders=accept", "SignatureDoesNotMatch"),
        ("%2Faws4_request", "", "IncompleteSignature"),
        ("X-Amz-Date=2", "X-Amz-Date=Mon2", "IncompleteSignature"),
        ("X-Amz-Expires=60", "X-Amz-Expires=61", "SignatureDoesNotMatch"),
        ("X-Amz-Signature=", "X-Amz-Signature=%C3%A9", "SignatureDoesNotMatch"),
        ("X-Amz-Signature=", "X-Amz-Signature=0", "SignatureDoesNotMatch"),
        ("X-Amz-Credential=A", "X-Amz-Credential=B", "InvalidClientTokenId"),
        ("Version=", "Extra=1&Version=", "SignatureDoesNotMatch"),
    ],
)
def test_a_change_is_noticed(direct: DirectClient, old: str, new: str, error: str) -> None:
    url = url_of(direct)
    assert old in url
    assert refused(direct, url.replace(old, new, 1)) == (403, error)
    record = direct.local.records()[-1]
    assert (record["eventName"], record["userIdentity"]) == ("GetCallerIdentity", {"type": "Unknown"})


def test_an_authorization_header_as_well(direct: DirectClient) -> None:
    assert refused(direct, url_of(direct), {"Authorization": "AWS4-HMAC-SHA256 x"}) == (403, "IncompleteSignature")


@pytest.mark.parametrize(
    ("query", "service"),
    [
        ("Action=ListUsers&Version=2010-05-08", "iam"),
        ("Action=GetSessionToken&Version=2011-06-15", "sts"),
        ("Action=GetCallerIdentity&Version=2010-05-08", "sts"),
        ("Action=GetCallerIdentity", "sts"),
        ("Version=2011-06-15", "sts"),
        ("Action=Encrypt", "kms"),
    ],
)
def test_no_other_call_is_made_by_a_url(direct: DirectClient, query: str, service: str) -> None:
    answer = get(direct, url_of(direct, query=query, service=service))
    assert (answer.status, answer.text) == (404, "<UnknownOperationException/>\n")


def test_other_methods_paths_and_queries_are_no_presigned_call(direct: DirectClient) -> None:
    url = url_of(direct)
    query = url.partition("?")[2]
    many = "&".join([query, *(f"a{each}=" for each in range(60))])
    for method, path, other in (
        *(("PUT", "/", query), ("HEAD", "/", query), ("GET", "/x", query), ("GET", "/", IDENTITY)),
        *(("GET", "/", f"{query}&Action=GetCallerIdentity"), ("GET", "/", many), ("GET", "/", f"{query}&&")),
    ):
        request = HttpRequest(method, path, other, {"host": "strongroom:4599"}, b"", "127.0.0.1", secure=False)
        assert presigned_call(request) is None
        assert direct.receive(request).status == 404


def test_a_url_signed_for_post_is_posted(direct: DirectClient) -> None:
    url = url_of(direct, method="POST")
    assert get(direct, url, method="POST").field("Arn") == ROOT
    assert refused(direct, url) == (403, "SignatureDoesNotMatch")


def test_a_body_must_be_the_signed_one(direct: DirectClient) -> None:
    request = direct_request(url_of(direct))
    request.body = b"Action=GetCallerIdentity"
    assert direct.receive(request).error == "SignatureDoesNotMatch"


PIECES = st.sampled_from(
    [
        *("X-Amz-Signature=", "X-Amz-Signature", "X-Amz-Date=", "X-Amz-Credential=", "X-Amz-SignedHeaders=host", "&"),
        *("X-Amz-Algorithm=AWS4-HMAC-SHA256", "Action=GetCallerIdentity", "Version=2011-06-15", "=", "%", "%ff", ";"),
        *("A/20261126/us-east-1/sts/aws4_request", "20261126T000000Z", "20269999T999999Z", "0" * 64, "X-Amz-Expires="),
    ]
)


@given(query=st.lists(st.one_of(PIECES, st.text(st.characters(max_codepoint=255), max_size=3)), max_size=30))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_query_is_answered(direct: DirectClient, query: list[str]) -> None:
    request = HttpRequest("GET", "/", "".join(query), {"host": "h"}, b"", "127.0.0.1", secure=False)
    assert direct.receive(request).status in {403, 404}


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_change_of_a_url_is_refused_unless_it_only_spells_it_otherwise(
    direct: DirectClient, data: st.DataObject
) -> None:
    query = url_of(direct).partition("?")[2]
    place = data.draw(st.integers(0, len(query) - 1))
    piece = data.draw(st.one_of(st.text("&=%Aa0/", max_size=2), st.sampled_from(["%41", "&a=b"])))
    changed = query[:place] + piece + query[place + data.draw(st.integers(0, 2)) :]
    if sorted(map(unquote, changed.split("&"))) == sorted(map(unquote, query.split("&"))):
        return
    request = HttpRequest("GET", "/", changed, {"host": "strongroom:4599"}, b"", "127.0.0.1", secure=False)
    assert direct.receive(request).status in {403, 404}, quote(piece)
