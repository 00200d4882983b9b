"""The time limits of clients: for a TLS handshake, to send a request or read its answer, and between two requests.

A client that is too slow is disconnected. Without that, slow clients could hold every connection the server has. Time
in which the server itself did not run does not count, except in handshakes. The settings ``request-time`` and
``idle-time`` replace the defaults here.
"""

import msgspec

TLS_HANDSHAKE_TIMEOUT = 10.0
"""How long a client may take for its TLS handshake, in seconds."""
TLS_SHUTDOWN_TIMEOUT = 1.0
"""How long a client may take to confirm the end of a TLS connection, in seconds."""
NEVER = float("inf")
"""The deadline of a connection that waits for the server, not for its client."""


class Timeouts(msgspec.Struct, frozen=True):
    """The seconds that a client has to send one request or to read its answer, and to send its next request."""

    request: float = 20.0
    idle: float = 75.0
