"""Where events are sent: the setting ``events``, and what its addresses mean."""

from hashlib import sha256
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from strongroom.file_names import PATHS, FileName, PathAfter

Kind = Literal["file", "webhook", "command"]

ROTATION = "KMS CMK Rotation"
DELETION = "KMS CMK Deletion"
EXPIRATION = "KMS Imported Key Material Expiration"
EXPIRES_SOON = "Imported Key Material Expires Soon"
DELETED_SOON = "KMS Key Deletion Soon"
DENIED_BURST = "Access Denied Burst"
TOKEN_UNAVAILABLE = "HSM Unavailable"  # noqa: S105 - a hardware token
TOKEN_AVAILABLE = "HSM Available"  # noqa: S105 - a hardware token
SEAL_UNAVAILABLE = "Seal Unavailable"
SEAL_AVAILABLE = "Seal Available"
PROBLEM = "Problem"
PROBLEM_ENDED = "Problem Ended"
TEST = "Test"

DETAIL_TYPES = (
    *(ROTATION, DELETION, EXPIRATION, EXPIRES_SOON, DELETED_SOON, DENIED_BURST, TOKEN_UNAVAILABLE, TOKEN_AVAILABLE),
    *(SEAL_UNAVAILABLE, SEAL_AVAILABLE, PROBLEM, PROBLEM_ENDED, TEST),
)
"""What events there are. The first three are AWS's own (KMS Developer Guide, "Monitor KMS keys with EventBridge")."""

_KINDS: dict[str, Kind] = {"file:": "file", "https://": "webhook", "command:": "command"}
_PATHS = (PathAfter("file:"), PathAfter("command:", only_with_slash=True))


class EventAddressError(Exception):
    """A destination of events is not valid; the message says why."""


class EventDestination(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """One place that events are sent to.

    ``to`` is ``file:/PATH``, ``https://HOST[:PORT]/PATH`` or ``command:/PATH``. ``detail_types`` has those that are
    sent there; without any, all are. ``secret_file`` has the secret that signs what a webhook gets. ``ca`` is a file
    (PEM) with the authorities that the certificate of a webhook may be of, by default those of the system; ``cert`` and
    ``key`` are files (PEM) with the certificate that this server shows, and its private key. ``arguments`` are those of
    a command. ``time_limit`` is how many seconds a webhook or a command may take.
    """

    to: Annotated[str, Meta(min_length=1, max_length=2048, extra={PATHS: _PATHS})]
    detail_types: tuple[str, ...] = ()
    secret_file: FileName | None = None
    ca: FileName | None = None
    cert: FileName | None = None
    key: FileName | None = None
    arguments: tuple[str, ...] = ()
    time_limit: Annotated[float, Meta(ge=0.1, le=300)] = 30.0

    @property
    def kind(self) -> Kind:
        """What kind of destination this is; raises EventAddressError."""
        for beginning, kind in _KINDS.items():
            if self.to.startswith(beginning):
                return kind
        raise EventAddressError("it must be file:/PATH, https://HOST/PATH or command:/PATH")

    @property
    def path(self) -> str:
        """The absolute path of a file or a command; raises EventAddressError."""
        path = self.to.removeprefix(f"{self.kind}:")
        if not path.startswith("/") or "\0" in path:
            raise EventAddressError(f"the path must be absolute, as in {self.kind}:/PATH")
        return path

    @property
    def url(self) -> tuple[str, int, str]:
        """Host, port, and path with query of a webhook; raises EventAddressError."""
        try:
            parts = urlsplit(self.to)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise EventAddressError("it must be https://HOST/PATH") from None
        if not host or port == 0 or not self.to.isascii() or not self.to.isprintable() or " " in self.to:
            raise EventAddressError("it must be https://HOST/PATH")
        if "@" in parts.netloc or parts.fragment:
            raise EventAddressError("it must have neither a user name nor `#`")
        return host, port or 443, f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"

    @property
    def shown(self) -> str:
        """The address for people. All of a webhook but host and port can be a secret, so a hash stands for it."""
        if self.kind != "webhook":
            return self.to
        try:
            parts = urlsplit(self.to)
            port = f":{parts.port}" if parts.port is not None else ""
            host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
        except ValueError:
            host = port = ""
        known = f"https://{host}{port}"
        if self.to.lower() in {known, f"{known}/"}:
            return self.to
        return f"{known}/…{sha256(self.to.encode(errors='surrogatepass')).hexdigest()[:6]}"

    def takes(self, detail_type: str) -> bool:
        """Tell whether events of a kind are sent there."""
        return not self.detail_types or detail_type in self.detail_types


def require_event_destination(found: EventDestination) -> None:
    """Raise EventAddressError, which says why, if a destination cannot be as it is set."""
    kind = found.kind
    _ = found.url if kind == "webhook" else found.path
    if (found.cert is None) != (found.key is None):
        raise EventAddressError("it needs both `cert` and `key`, or neither")
    if kind == "webhook" and found.secret_file is None:
        raise EventAddressError("it needs `secret-file`, the secret that signs what is sent")
    if kind != "webhook" and (found.secret_file or found.ca or found.cert):
        raise EventAddressError("`secret-file`, `ca`, `cert` and `key` are for webhooks (https://) alone")
    if kind != "command" and found.arguments:
        raise EventAddressError("`arguments` are for commands alone")
    for each in found.detail_types:
        if each not in DETAIL_TYPES:
            raise EventAddressError(f"`{each}` is no detail type; they are {', '.join(DETAIL_TYPES)}")
