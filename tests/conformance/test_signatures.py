"""Requests without a valid signature are refused; health checks need none."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from botocore.credentials import Credentials

from clients import Raw, credentials_of, send, signed
from identities import Identities
from local_server import RunningServer
from policies import allow, document
from sessions import assume


def replace_header(name: str, old: str, new: str) -> Callable[[Raw], object]:
    def change(request: Raw) -> None:
        assert old in request.headers[name]
        request.headers[name] = request.headers[name].replace(old, new)

    return change


def drop(name: str) -> Callable[[Raw], object]:
    return lambda request: request.headers.pop(name)


def put(name: str, value: str) -> Callable[[Raw], object]:
    return lambda request: request.headers.update({name: value})


def change_body(request: Raw) -> None:
    request.body = b'{"Limit":2}'


def flip_signature(request: Raw) -> None:
    header = request.headers["Authorization"]
    request.headers["Authorization"] = header[:-1] + ("0" if header[-1] != "0" else "1")


def stop_signing(name: str) -> Callable[[Raw], object]:
    def change(request: Raw) -> None:
        request.headers["Authorization"] = (
            request.headers["Authorization"].replace(f";{name}", "").replace(f"{name};", "")
        )

    return change


def test_a_proper_signature_is_answered(server: RunningServer) -> None:
    answer = send(server, signed(server))
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/x-amz-json-1.1"
    assert len(answer.headers["x-amzn-requestid"]) == 36
    assert "date" in answer.headers


MISMATCH = "The request signature we calculated does not match the signature you provided."


NO_PARTS = "".join(
    f"Authorization header requires '{part}' parameter. " for part in ("Credential", "Signature", "SignedHeaders")
)

INVALID = "InvalidSignatureException"
INCOMPLETE = "IncompleteSignatureException"
MISSING = "MissingAuthenticationTokenException"

CASES: dict[str, tuple[Callable[[Raw], object], str, str]] = {
    "another body": (change_body, INVALID, MISMATCH),
    "another signature": (flip_signature, INVALID, MISMATCH),
    "another target": (put("X-Amz-Target", "TrentService.ListAliases"), INVALID, MISMATCH),
    "another host": (put("Host", "kms.example.com"), INVALID, MISMATCH),
    "another region": (replace_header("Authorization", "/us-east-1/", "/eu-west-1/"), INVALID, MISMATCH),
    "another service": (
        replace_header("Authorization", "/kms/", "/s3/"),
        INVALID,
        "Credential should be scoped to correct service: 'kms'. ",
    ),
    "another terminator": (
        replace_header("Authorization", "aws4_request", "aws5"),
        INVALID,
        "Credential should be scoped with a valid terminator: 'aws4_request', not 'aws5'. ",
    ),
    "another day": (put("X-Amz-Date", "20260231T999999Z"), INVALID, "Date in Credential scope does not match YYYYMMDD"),
    "no signature": (drop("Authorization"), MISSING, "Request is missing Authentication Token"),
    "another scheme": (put("Authorization", "SessionClients x"), MISSING, "Request is missing Authentication Token"),
    "no parts": (put("Authorization", "AWS4-HMAC-SHA256 x"), INCOMPLETE, f"{NO_PARTS}Authorization=AWS4-HMAC-SHA256 x"),
    "no date": (
        drop("X-Amz-Date"),
        INCOMPLETE,
        "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. Authorization=AWS4",
    ),
    "no date to read": (
        put("X-Amz-Date", "yesterday"),
        INCOMPLETE,
        "Date must be in ISO-8601 'basic format'. Got 'yesterday'. See http://en.wikipedia.org/wiki/ISO_8601",
    ),
    "host not signed": (stop_signing("host"), INVALID, "'Host' or ':authority' must be a 'SignedHeader'"),
    "date not signed": (stop_signing("x-amz-date"), INVALID, "'x-amz-date' must be a 'SignedHeader'"),
    "target not signed": (stop_signing("x-amz-target"), INVALID, "'x-amz-target' must be a 'SignedHeader'"),
    "a token with a root's key": (
        put("X-Amz-Security-Token", "t"),
        "UnrecognizedClientException",
        "The security token included in the request is invalid.",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_changed_request_is_refused(server: RunningServer, case: str) -> None:
    change, error, message = CASES[case]
    answer = send(server, signed(server), change)
    assert (answer.status, answer.error) == (400, error)
    assert answer.message.startswith(message)


def test_unknown_access_keys_and_session_tokens_are_not_recognized(server: RunningServer) -> None:
    stranger = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    keys = credentials_of(server)
    with_token = Credentials(keys.access_key, keys.secret_key, "a token")
    for credentials in (stranger, with_token):
        answer = send(server, signed(server, credentials=credentials))
        assert answer.error == "UnrecognizedClientException"
        assert answer.message == "The security token included in the request is invalid."


def test_a_session_token_need_not_be_signed(server: RunningServer, identities: Identities) -> None:
    """Some clients add it after they have signed, such as Kroxylicious. Only the session's own token will do."""
    user, role = identities.user(allow(do="sts:AssumeRole")), identities.role()
    policy = document(allow(do="kms:ListKeys"))
    identities.iam.put_role_policy(RoleName=role["RoleName"], PolicyName="lists", PolicyDocument=policy)
    session, other = (assume(user.sts, role["Arn"]) for _ in range(2))

    def call(token: str | None) -> tuple[int, str]:
        # The request is signed as if the access key had no token.
        bare = signed(server, credentials=Credentials(session.access_key, session.secret_key))
        answer = send(server, bare, (lambda _: None) if token is None else put("X-Amz-Security-Token", token))
        return answer.status, answer.body.decode()

    assert [call(session.token)[0] for _ in range(3)] == [200, 200, 200]
    for token in (other.token, f"{session.token}A", "", None):
        status, body = call(token)
        assert (status, "UnrecognizedClientException" in body) == (400, True), token
    assert call(session.token)[0] == 200


def test_another_secret_is_a_mismatch(server: RunningServer) -> None:
    wrong = Credentials(credentials_of(server).access_key, "not the secret")
    assert send(server, signed(server, credentials=wrong)).message.startswith(MISMATCH)


@pytest.mark.parametrize(("minutes", "message"), [(-6, "Signature expired: "), (6, "Signature not yet current: ")])
def test_a_signature_is_good_for_five_minutes(server: RunningServer, minutes: int, message: str) -> None:
    at = datetime.now(UTC) + timedelta(minutes=minutes)  # noqa: TID251 - a client
    answer = send(server, signed(server, at=at))
    assert answer.error == "InvalidSignatureException"
    assert answer.message.startswith(message)
    assert answer.message.endswith("5 min.)")
    nearly = datetime.now(UTC) + timedelta(minutes=minutes * 0.8)  # noqa: TID251 - a client
    assert send(server, signed(server, at=nearly)).status == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_only_health_checks_need_no_signature(server: RunningServer, path: str) -> None:
    assert send(server, Raw("GET", path, {}, b"")).status == 200
    for method, other in (("GET", "/"), ("POST", path), ("GET", "/metrics"), ("DELETE", "/")):
        answer = send(server, Raw(method, other, {}, b""))
        assert (answer.status, answer.body) == (404, b"<UnknownOperationException/>\n")
