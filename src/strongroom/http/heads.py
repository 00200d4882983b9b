"""Rules for the heads of requests: what they may have, and what they cost."""

MOST_LINES = 100
"""The maximum number of header lines: each takes many times its size in memory. Clients send a dozen."""
HEADER_SIZE = 150
"""Bytes that a header holds apart from its text."""
VERSIONS = frozenset({"1.0", "1.1"})
"""The versions of HTTP that are served."""
WRONG_VERSION = frozenset({"Invalid HTTP version", "Pause on PRI/Upgrade"})
"""What httptools says of a version that is well-formed and not supported, and of the preface of HTTP/2."""
USUAL_NAMES = {
    spelling.encode(): name.lower()
    for name in (
        *("Host", "Accept-Encoding", "User-Agent", "Content-Type", "Content-Length", "Connection", "Authorization"),
        *("X-Amz-Date", "X-Amz-Target", "X-Amz-Security-Token", "X-Amz-Content-Sha256", "Amz-Sdk-Invocation-Id"),
        "Amz-Sdk-Request",
    )
    for spelling in (name, name.lower())
}
"""Header names as clients spell them → in lower case, so that lower() is not called for every header."""


def refusal_of_codings(codings: str, version: str) -> int:
    """Return the status with which a Transfer-Encoding other than ``chunked`` is refused; 0 for that one.

    Every other value leaves in doubt where the request ends (RFC 9112, 6.1 and 6.3). With chunked last and once, it
    is clear, and only the coding before it is not supported.
    """
    named = [coding.strip(" \t").lower() for coding in codings.split(",")]
    if version == "1.0" or named[-1] != "chunked" or "chunked" in named[:-1] or "" in named:
        return 400
    return 0 if len(named) == 1 else 501
