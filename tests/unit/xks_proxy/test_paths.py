"""Which call a path asks for, and the path that AWS KMS is told."""

import re

import pytest

from strongroom.xks_proxy.paths import Call, Route, parse_path, uri_path
from strongroom.xks_proxy.registry import is_external_id, is_prefix

# The pattern of XksProxyUriPath in the model of KMS.
URI_PATH = re.compile(r"(/[a-zA-Z0-9\/_-]+/kms/xks/v\d{1,2})|(/kms/xks/v\d{1,2})")
LONGEST = "p" * 115


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/kms/xks/v1/health", Route("", Call.HEALTH)),
        ("/a/kms/xks/v1/health", Route("a", Call.HEALTH)),
        ("/example/uri_path-1/kms/xks/v1/keys/foo/metadata", Route("example/uri_path-1", Call.METADATA, "foo")),
        ("/a/kms/xks/v1/keys/A-z_0.9/encrypt", Route("a", Call.ENCRYPT, "A-z_0.9")),
        ("/a/kms/xks/v1/keys/..%s/decrypt" % ("x" * 126), Route("a", Call.DECRYPT, ".." + "x" * 126)),
        ("/kms/xks/v1/kms/xks/v1/health", Route("kms/xks/v1", Call.HEALTH)),
    ],
)
def test_a_path_names_prefix_call_and_key(path: str, route: Route) -> None:
    assert parse_path(path) == route


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/healthz",
        "kms/xks/v1/health",
        "/kms/xks/v2/health",
        "/kms/xks/v1/health/",
        "//kms/xks/v1/health",
        "/a//kms/xks/v1/health",
        "/a/../kms/xks/v1/health",
        "/a%2fb/kms/xks/v1/health",
        "/kms/xks/v1/keys//metadata",
        "/kms/xks/v1/keys/foo",
        "/kms/xks/v1/keys/foo/delete",
        "/kms/xks/v1/keys/f%6fo/encrypt",
        "/kms/xks/v1/keys/a/b/encrypt",
        "/kms/xks/v1/keys/%s/encrypt" % ("x" * 129),
        "/kms/xks/v1/health\n",
    ],
)
def test_other_paths_are_none(path: str) -> None:
    assert parse_path(path) is None


@pytest.mark.parametrize("prefix", ["", "a", "example/uri/path/prefix", LONGEST])
def test_the_path_for_aws_is_one_that_aws_takes(prefix: str) -> None:
    assert is_prefix(prefix)
    path = uri_path(prefix)
    assert URI_PATH.fullmatch(path)
    assert 10 <= len(path) <= 128
    assert parse_path(f"{path}/health") == Route(prefix, Call.HEALTH)


@pytest.mark.parametrize("text", ["/", "a/", "/a", "a//b", "a b", "a.b", "a\n", f"{LONGEST}p", "\N{SNOWMAN}"])
def test_what_can_be_no_prefix(text: str) -> None:
    assert not is_prefix(text)


@pytest.mark.parametrize(
    ("text", "fits"), [("a", True), ("A.b-c_9", True), ("", False), ("a/b", False), ("x" * 129, False)]
)
def test_external_ids(text: str, *, fits: bool) -> None:
    assert is_external_id(text) is fits
