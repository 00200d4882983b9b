"""Request targets in all forms of RFC 9112, and text that is none of them."""

import pytest

from strongroom.http.request_target import RequestTarget, parse


@pytest.mark.parametrize(
    ("target", "path", "query", "authority"),
    [
        ("/", "/", "", None),
        ("/?a=b?c", "/", "a=b?c", None),
        ("//x/y", "//x/y", "", None),
        ("*", "*", "", None),
        ("http://h", "/", "", "h"),
        ("http://h/", "/", "", "h"),
        ("HTTPS://H:8443/healthz", "/healthz", "", "H:8443"),
        ("http://h?Action=x", "/", "Action=x", "h"),
        ("http://h/p?a&b?c", "/p", "a&b?c", "h"),
        ("http://[::1]:4599/", "/", "", "[::1]:4599"),
        ("http://h:/", "/", "", "h:"),
        ("http://a%20b/", "/", "", "a%20b"),
    ],
)
def test_a_target(target: str, path: str, query: str, authority: str | None) -> None:
    assert parse(target, None) == RequestTarget(path, query, authority)


@pytest.mark.parametrize(
    "target",
    [
        *("", "h", "h:80", "http:", "http:/", "http://", "http:///", "http://:80/", "http://u@h/", "http://u:p@h/"),
        *("http://h/#f", "http://h#f", "ftp://h/", "http://[::1/", "http://h:x/", "http://h\\x/", "http://h h/"),
        *("http://h\n/", "?a", "javascript:alert(1)", "http://\xe9/"),
    ],
)
def test_what_is_no_target(target: str) -> None:
    assert parse(target, None) is None


@pytest.mark.parametrize(
    ("target", "host", "authority"),
    [
        ("http://h:80/", "h", "h"),
        ("http://h/", "H:80", "H:80"),
        ("https://h:443/", "h", "h"),
        ("http://h:/", "h", "h"),
        ("http://h:443/", "h", "h:443"),
        ("https://h:80/", "h", "h:80"),
        ("http://h/", "other", "h"),
        ("http://h/", "h:8080", "h"),
        ("http://h/", "", "h"),
    ],
)
def test_the_authority_replaces_a_host_that_is_another(target: str, host: str, authority: str) -> None:
    found = parse(target, host)
    assert found is not None
    assert found.authority == authority
