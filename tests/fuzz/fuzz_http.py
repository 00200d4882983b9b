"""Fuzz targets: bytes of HTTP, and the signatures of requests that are read from them."""

from itertools import pairwise
from typing import Final

from promises import require_refusal
from recorded_connection import LIMITS, NothingIsPlain, Recorder, received
from strongroom.api.presigned import presigned_call, verify_presigned
from strongroom.api.sigv4 import Verifier
from strongroom.errors import KmsError
from strongroom.http.fast_parser import FastParser
from strongroom.http.message import HttpRequest
from strongroom.iam import account_root
from strongroom.snapshot.principals import Credential

NOW: Final = 1_790_000_000.0
"""The time of the signatures in the seeds: 2026-09-21T14:13:20Z."""
ACCESS_KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
REGION = "us-east-1"
_STATUSES = {400, 413, 429, 431, 501, 505}
_OWNER = Credential(access_key_id=ACCESS_KEY, secret=SECRET, principal=account_root("000000000000"))
_CUTS = 7


def fuzz_http(data: bytes) -> None:
    """Read the bytes in one piece and in several, with and without the fast parser: always the same requests."""
    whole = _read([data])
    general, _ = received([data], NothingIsPlain(LIMITS.head, LIMITS.body))
    pieces = [data[start:end] for start, end in pairwise([*range(0, len(data), max(1, len(data) // _CUTS)), len(data)])]
    cut = _read(pieces)
    assert set(whole.refusals) <= _STATUSES
    assert [_content(each) for each in whole.requests] == [_content(each) for each in general.requests]
    assert [_content(each) for each in whole.requests] == [_content(each) for each in cut.requests]
    assert whole.refusals == general.refusals == cut.refusals
    for request in whole.requests:
        assert len(request.body) <= LIMITS.body


def fuzz_signature(data: bytes) -> None:
    """Verify the signature of each request in the bytes, twice: the second time, its client is known."""
    verifier = Verifier(_find, frozenset({REGION}), 300.0)
    for request in _read([data]).requests:
        outcomes = [_verified(verifier, request) for _ in range(2)]
        assert outcomes[0] == outcomes[1]
        if outcomes[0]:
            assert ACCESS_KEY in request.headers["authorization"]


def fuzz_presigned(data: bytes) -> None:
    """Verify each presigned URL in the bytes."""
    verifier = Verifier(_find, frozenset({REGION}), 300.0)
    for request in _read([data]).requests:
        if presigned_call(request) is None:
            continue
        try:
            verify_presigned(verifier, request, "sts", NOW)
        except KmsError as error:
            require_refusal(error)


def _verified(verifier: Verifier, request: HttpRequest) -> bool:
    try:
        return verifier.verify(request, "kms", NOW).region == REGION
    except KmsError as error:
        require_refusal(error)
        return False


def _find(access_key_id: str, token: str | None, /, *, may_wait: bool) -> Credential | None:
    assert may_wait
    return _OWNER if access_key_id == ACCESS_KEY and token is None else None


def _read(pieces: list[bytes]) -> Recorder:
    recorder, _ = received(pieces, FastParser(LIMITS.head, LIMITS.body))
    return recorder


def _content(request: HttpRequest) -> tuple[str, str, str, dict[str, str], bytes]:
    return request.method, request.path, request.query, request.headers, request.body
