"""For any bytes: what a connection makes of them does not depend on the pieces in which they arrive."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorded_connection import LIMITS, NothingIsPlain, received
from strongroom.http.fast_parser import FastParser
from strongroom.http.heads import MOST_LINES
from strongroom.http.message import HttpRequest

_START = b"POST / HTTP/1.1\r\nHost: h\r\n"
_PADDING = b"A: %b\r\n"
_STARTS = [
    *(_START, b"GET /healthz?a HTTP/1.1\r\nHost: h\r\n", b"POST / HTTP/1.0\r\n", b"POST / HTTP/2.0\r\n", b"POST /\r\n"),
    *(
        b"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n",
        b"POST / HTTP/1.1\r\nUpgrade: x\r\nConnection: upgrade\r\n",
    ),
    *(b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n", b"CONNECT h HTTP/1.1\r\n", b"POST h HTTP/1.1\r\n"),
]
_BODIES = st.one_of(
    st.binary(max_size=12), st.sampled_from([b"\r\n\r\n", b"0\r\n\r\n", b"\r\n\r\nPOST / HTTP/1.1\r\n\r\n"])
)
_SIZES = st.one_of(st.integers(-3, 3), st.integers(-2000, 3000))
"""Of heads and bodies, less than their limits or more."""


@st.composite
def bodies(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Return the header lines that a body needs, and the body as it is sent."""
    body = draw(st.one_of(_BODIES, st.builds(lambda more: b"x" * max(0, LIMITS.body + more), _SIZES)))
    if draw(st.booleans()):
        return b"Content-Length: %d\r\n" % len(body), body
    cuts = sorted({0, len(body), *draw(st.lists(st.integers(0, len(body)), max_size=3))})
    chunks = [body[start:end] for start, end in pairwise(cuts)]
    extension = draw(st.sampled_from([b"", b"", b";a=b"]))
    end = draw(st.sampled_from([b"0\r\n\r\n", b"0\r\n\r\n", b"0\r\nT: v\r\n\r\n"]))
    sent = b"".join(b"%x%b\r\n%b\r\n" % (len(chunk), extension, chunk) for chunk in chunks)
    return b"Transfer-Encoding: chunked\r\n", sent + end


@st.composite
def heads(draw: st.DrawFn, lines: bytes) -> bytes:
    """Return a head with some header lines, perhaps as large as a head may be, or with as many lines."""
    head = draw(st.sampled_from([_START] * 6 + _STARTS)) + lines
    kind = draw(st.sampled_from(["small", "small", "large", "many"]))
    if kind == "large":
        head += _PADDING % (b"x" * max(0, LIMITS.head + draw(_SIZES) - len(head) - len(_PADDING % b"" + b"\r\n")))
    if kind == "many":
        head += draw(st.sampled_from([b"A: 1\r\n", b"%d:\r\n"])) * draw(st.integers(MOST_LINES - 4, MOST_LINES + 2))
    return draw(st.sampled_from([b"", b"", b"\r\n", b"\r\n\r\n", b"\n"])) + head + b"\r\n"


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Return requests, right or nearly so, one behind the other."""
    stream = b""
    for _ in range(draw(st.integers(1, 3))):
        lines, body = draw(bodies())
        stream += draw(heads(lines)) + body
    if draw(st.integers(0, 3)) == 0:
        place = draw(st.integers(0, len(stream)))
        stream = stream[:place] + draw(st.binary(max_size=3)) + stream[place + draw(st.integers(0, 3)) :]
    return stream


def outcome(pieces: list[bytes], parser: type[FastParser] = FastParser) -> tuple[list[HttpRequest], list[int], bool]:
    recorder, connection = received(pieces, parser(LIMITS.head, LIMITS.body))
    return recorder.requests, recorder.refusals, connection.last


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    return [stream[start:end] for start, end in pairwise([0, *sorted(places), len(stream)])]


@given(streams(), st.data())
def test_the_outcome_is_that_of_single_bytes(stream: bytes, data: st.DataObject) -> None:
    expected = outcome([stream[at : at + 1] for at in range(len(stream))])
    assert outcome([stream]) == expected
    assert outcome([stream], NothingIsPlain) == expected
    places = data.draw(st.lists(st.integers(0, len(stream)), max_size=4))
    assert outcome(cut(stream, places)) == expected


def head_of(size: int, lines: bytes) -> bytes:
    rest = _START + lines + _PADDING % b"" + b"\r\n"
    return _START + lines + _PADDING % (b"x" * (size - len(rest))) + b"\r\n"


@given(
    st.integers(LIMITS.head - 300, 3 * LIMITS.head),
    st.lists(st.integers(0, LIMITS.head + 10), max_size=4),
    st.sampled_from([(b"Content-Length: 2\r\n", b"{}"), (b"Transfer-Encoding: chunked\r\n", b"2\r\n{}\r\n0\r\n\r\n")]),
    st.sampled_from([b"", b"GET /healthz HTTP/1.1\r\n\r\n", _START + b"Content-Length: 1\r\n\r\nx", b"\r\n"]),
)
def test_a_head_is_refused_if_it_has_more_bytes_than_it_may_have(
    size: int, places: list[int], framed: tuple[bytes, bytes], before: bytes
) -> None:
    lines, body = framed
    empty = len(before) if not before.strip() else 0
    requests, refusals, _ = outcome(cut(before + head_of(size, lines) + body, places))
    is_too_large = size + empty > LIMITS.head
    assert refusals == ([431] if is_too_large else [])
    assert len(requests) == bool(before.strip()) + (not is_too_large)


@pytest.mark.parametrize("over", [0, 1])
def test_a_large_head_in_one_piece(over: int) -> None:
    _, refusals, _ = outcome([head_of(LIMITS.head + over, b"Content-Length: 2\r\n") + b"{}"])
    assert refusals == [431] * over
