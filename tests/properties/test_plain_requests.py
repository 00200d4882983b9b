"""For any input: a request that the fast parser accepts is accepted by the general parser, and is the same request."""

from hypothesis import given
from hypothesis import strategies as st

from recorded_connection import LIMITS, NothingIsPlain, received
from strongroom.http.fast_parser import FastParser
from strongroom.http.message import HttpRequest

SIGNATURE = "0123456789abcdef" * 4


NAMES = st.sampled_from(
    [
        *("Host", "host", "User-Agent", "X-Amz-Date", "X-Amz-Target", "X-Odd", "Connection", "Expect", "Authorization"),
        *("Transfer-Encoding", "Content-Type", "Content-Length", "Te", "Upgrade", "Bad Name", ""),
    ]
)
VALUES = st.one_of(
    st.sampled_from(
        [
            "",
            "1",
            "kms",
            "  padded\t",
            "keep-alive",
            "close",
            "chunked",
            "gzip, chunked",
            "chunked, chunked",
            "100-continue",
            "0\xa0",
            "\x850",
            "Süß",
            f"A {SIGNATURE}",
        ]
    ),
    st.text(st.characters(max_codepoint=255), max_size=8),
)
OTHER_STARTS = [
    *(
        "POST / HTTP/1.0",
        "GET / HTTP/1.1",
        "POST /? HTTP/1.1",
        "POST http://h HTTP/1.1",
        "POST https://h:1/?a HTTP/1.1",
    ),
    *("POST http://u@h/ HTTP/1.1", "POST / HTTP/2.0", "POST / HTTP/1.2", "POST / HTTP/0.9", "POST / HTTP/3"),
]
SEPARATORS = st.sampled_from([": ", ":", " : ", ":\t"])


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Return a request, right or nearly so."""
    body = draw(st.binary(max_size=12))
    length = draw(st.sampled_from([str(len(body))] * 6 + [f"0{len(body)}", f"+{len(body)}", str(len(body) + 1), ""]))
    lines = draw(st.lists(st.builds("{}{}{}".format, NAMES, SEPARATORS, VALUES), max_size=5))
    lines.insert(draw(st.integers(0, len(lines))), f"Content-Length: {length}")
    start = draw(st.sampled_from(["POST / HTTP/1.1"] * 8 + OTHER_STARTS))
    end = draw(st.sampled_from(["\r\n"] * 8 + ["\n"]))
    whole = (end.join([start, *lines]) + end + end).encode("latin-1") + body
    if draw(st.booleans()):
        place = draw(st.integers(0, len(whole) - 1))
        whole = whole[:place] + draw(st.binary(max_size=2)) + whole[place + draw(st.integers(0, 2)) :]
    return whole


@given(st.lists(requests(), min_size=1, max_size=4))
def test_the_two_parsers_agree(bodies: list[bytes]) -> None:
    fast_parser = FastParser(LIMITS.head, LIMITS.body)
    for data in bodies:
        found = fast_parser.read(data)
        recorder, connection = received([data], NothingIsPlain(LIMITS.head, LIMITS.body))
        if found is not None:
            headers, body = found
            assert recorder.refusals == []
            assert recorder.requests == [HttpRequest("POST", "/", "", headers, body, "127.0.0.1", secure=False)]
            assert not connection.last


@given(st.lists(requests(), min_size=1, max_size=3), st.data())
def test_a_connection_hands_on_the_same_requests_either_way(bodies: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(bodies)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=3)))
    pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    by_both, _ = received(pieces, FastParser(LIMITS.head, LIMITS.body))
    by_one, _ = received(pieces, NothingIsPlain(LIMITS.head, LIMITS.body))
    assert by_both.requests == by_one.requests
    assert by_both.refusals == by_one.refusals


@given(requests(), st.sampled_from(["http://h", "HTTP://h/", "https://h:8443", "http://[::1]:4599/"]), st.data())
def test_an_absolute_form_is_the_same_request_for_another_host(data: bytes, url: str, more: st.DataObject) -> None:
    line, _, rest = data.partition(b"\r\n")
    hosted = b"POST / HTTP/1.1\r\n" + rest
    absolute = b"POST %s HTTP/1.1\r\n" % url.encode() + rest
    cut = more.draw(st.integers(0, len(absolute)))
    origin_form, _ = received([hosted], FastParser(LIMITS.head, LIMITS.body))
    absolute_form, _ = received([absolute[:cut], absolute[cut:]], FastParser(LIMITS.head, LIMITS.body))
    if not line.startswith(b"POST") or len(absolute) > LIMITS.head:
        return
    authority = url.partition("//")[2].rstrip("/")
    for request in origin_form.requests:
        request.headers["host"] = authority
    assert absolute_form.requests[:1] == origin_form.requests[:1]
    assert absolute_form.refusals == origin_form.refusals


def test_requests_of_real_clients_take_the_fast_parser() -> None:
    lines = [
        "Host: h",
        "X-Amz-Date: 20261126T000000Z",
        f"Authorization: AWS4 Signature={SIGNATURE}",
        "Content-Length: 2",
    ]
    data = "\r\n".join(["POST / HTTP/1.1", *lines, "Connection: Keep-Alive", "", "{}"]).encode()
    fast_parser = FastParser(LIMITS.head, LIMITS.body)
    for _ in range(2):
        assert fast_parser.read(data) == (
            {
                "host": "h",
                "x-amz-date": "20261126T000000Z",
                "authorization": f"AWS4 Signature={SIGNATURE}",
                "content-length": "2",
                "connection": "Keep-Alive",
            },
            b"{}",
        )


@given(st.lists(requests(), min_size=1, max_size=4), st.sampled_from([FastParser, NothingIsPlain]))
def test_only_requests_whose_end_is_certain_are_handed_on(bodies: list[bytes], parser: type[FastParser]) -> None:
    recorder, connection = received(bodies, parser(LIMITS.head, LIMITS.body))
    for request in recorder.requests:
        assert request.path == "*" or request.path.startswith("/")
        assert request.headers.get("transfer-encoding", "chunked").lower() == "chunked"
        assert not {"transfer-encoding", "content-length"} <= request.headers.keys()
    assert recorder.refusals in ([], [400], [413], [431], [501], [505])
    if recorder.refusals:
        connection.data_received(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n{")
        assert connection.last
        assert len(recorder.refusals) == 1
