"""Replies that are marked for web pages, whatever the request's headers are."""

import re

from hypothesis import given
from hypothesis import strategies as st

from strongroom.api.cross_origin import CrossOrigin
from strongroom.api.reply import Reply
from strongroom.http.message import HttpRequest

APP = "https://app.example.com"
LINE = re.compile(r"(?:(?:Access-Control-[A-Za-z-]+|Vary): [\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?\r\n)*")
TEXTS = st.one_of(st.sampled_from([APP, "*", "null", "POST", "a,b", "a, b"]), st.text(st.characters(max_codepoint=255)))


@given(
    origins=st.sampled_from([("*",), (APP,), (APP, "*")]),
    headers=st.dictionaries(
        st.sampled_from(["origin", "access-control-request-method", "access-control-request-headers"]), TEXTS
    ),
)
def test_nothing_but_whole_lines_is_added(origins: tuple[str, ...], headers: dict[str, str]) -> None:
    cross_origin = CrossOrigin(origins)
    request = HttpRequest("OPTIONS", "/", "", headers, b"", "127.0.0.1", secure=False)
    asked = cross_origin.preflight(request, "id")
    reply = cross_origin.marked(asked or Reply(200, b"", "text/plain", "id"), headers)
    assert LINE.fullmatch(reply.more_headers)
    allowed = "origin" in headers and ("*" in origins or headers["origin"] == APP)
    assert ("Allow-Origin" in reply.more_headers) == allowed
    assert (asked is not None) == (allowed and "access-control-request-method" in headers)
    assert ("Vary: Origin" in reply.more_headers) == ("*" not in origins)
    assert "Credentials" not in reply.more_headers
