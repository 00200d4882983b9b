"""Which requests a development server refuses because they may be those of a page."""

import pytest

from strongroom.development.browsers import is_loopback, why_refused


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:4599",
        "127.0.0.1",
        "[::1]:4599",
        "[::1]",
        "192.168.1.7:4599",
        "localhost:4599",
        "LOCALHOST",
        "localhost.:4599",
        "kms.localhost:4599",
        "host.docker.internal:4599",
    ],
)
def test_names_of_this_machine_are_accepted(host: str) -> None:
    assert why_refused({"host": host}, loopback=True) is None


@pytest.mark.parametrize(
    "host",
    ["example.com", "example.com:4599", "localhost.example.com", "notlocalhost", "127.0.0.1.example.com", "", ":4599"],
)
def test_names_that_a_page_can_have_are_refused(host: str) -> None:
    refusal = why_refused({"host": host}, loopback=True)
    assert refusal is not None
    assert "Host" in refusal
    assert why_refused({"host": host}, loopback=False) is None


@pytest.mark.parametrize("loopback", [True, False])
@pytest.mark.parametrize("origin", ["null", "http://localhost:4599"])
def test_an_origin_is_refused(origin: str, loopback: bool) -> None:  # noqa: FBT001 - a parameter of a test
    refusal = why_refused({"host": "localhost", "origin": origin}, loopback=loopback)
    assert refusal is not None
    assert "pages in browsers" in refusal


def test_a_client_without_the_header_is_no_page() -> None:
    assert why_refused({}, loopback=True) is None


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.0.0.2", True),
        ("::1", True),
        ("localhost", True),
        ("192.168.1.7", False),
        ("::", False),
    ],
)
def test_what_only_this_machine_reaches(host: str, expected: bool) -> None:  # noqa: FBT001 - a parameter of a test
    assert is_loopback(host) is expected
