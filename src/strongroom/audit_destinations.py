"""Where the audit log is shipped to: the setting ``audit-ship``, and what its addresses mean."""

from typing import Annotated, Literal
from urllib.parse import SplitResult, urlsplit

import msgspec
from msgspec import Meta

from strongroom.file_names import PATHS, FileName, PathAfter

Kind = Literal["folder", "syslog", "s3"]

SYSLOG_PORT = 6514
"""The port of syslog over TLS (RFC 5425, 4.1)."""

_KINDS: dict[str, Kind] = {"folder:": "folder", "syslog+tls://": "syslog", "s3://": "s3"}
_ENDPOINT = "a URL that begins with https:// or http://, without credentials, `?` and `#`"


class AddressError(Exception):
    """An address of a destination is not valid; the message says why."""


class AuditDestination(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """One place that every line of the audit log is shipped to while the log is written.

    ``to`` is ``folder:/PATH``, ``syslog+tls://HOST[:PORT]`` or ``s3://BUCKET[/PREFIX]``. With ``required``, a call is
    answered only when the destination has taken its records. ``ca`` is a file (PEM) with the authorities that the
    certificate of a server may be of, by default those of the system; ``cert`` and ``key`` are files (PEM) with the
    certificate that this server shows, and its private key. ``endpoint`` is the URL of an object storage other than
    AWS's, ``region`` its Region. ``interval`` is how many seconds lines may wait before object storage gets them.
    ``retain_days`` is for how many days object storage must refuse to delete what it has taken (Object Lock, in
    compliance mode); 0 for no such retention.
    """

    to: Annotated[str, Meta(min_length=1, max_length=1024, extra={PATHS: (PathAfter("folder:"),)})]
    required: bool = False
    ca: FileName | None = None
    cert: FileName | None = None
    key: FileName | None = None
    endpoint: Annotated[str, Meta(pattern=r"\Ahttps?://[^\s?#@]+\Z", description=_ENDPOINT)] | None = None
    region: Annotated[str, Meta(pattern=r"\A[a-zA-Z0-9-]{1,64}\Z", description="a Region such as us-east-1")] | None = (
        None
    )
    interval: Annotated[float, Meta(ge=0.1, le=3600)] = 60.0
    retain_days: Annotated[int, Meta(ge=0, le=36_500)] = 0

    @property
    def kind(self) -> Kind:
        """What kind of destination this is; raises AddressError."""
        for beginning, kind in _KINDS.items():
            if self.to.startswith(beginning):
                return kind
        raise AddressError("it must be folder:/PATH, syslog+tls://HOST:PORT or s3://BUCKET/PREFIX")

    @property
    def folder(self) -> str:
        """The absolute path of a folder; raises AddressError."""
        path = self.to.removeprefix("folder:")
        if not path.startswith("/"):
            raise AddressError("the path of the folder must be absolute, as in folder:/mnt/audit")
        return path

    @property
    def host(self) -> tuple[str, int]:
        """Host and port of a syslog server; raises AddressError."""
        parts = _split(self.to)
        try:
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if not host or port == 0 or parts.path not in {"", "/"}:
            raise AddressError("it must be syslog+tls://HOST:PORT")
        return host, port or SYSLOG_PORT

    @property
    def bucket(self) -> tuple[str, str]:
        """The bucket, and the prefix of the names of objects: empty, or with a slash at its end.

        Raises AddressError.
        """
        parts = _split(self.to)
        if not parts.netloc or ":" in parts.netloc:
            raise AddressError("it must be s3://BUCKET or s3://BUCKET/PREFIX")
        prefix = parts.path.strip("/")
        return parts.netloc, f"{prefix}/" if prefix else ""


def require_destination(found: AuditDestination) -> None:
    """Raise AddressError, which says why, if a destination cannot be as it is set."""
    kind = found.kind
    match kind:
        case "folder":
            _ = found.folder
        case "syslog":
            _ = found.host
            if found.required:
                raise AddressError(
                    "`required` cannot be kept: a syslog server does not tell what it has taken; "
                    "require a folder or object storage"
                )
        case "s3":
            _ = found.bucket
    if (found.cert is None) != (found.key is None):
        raise AddressError("it needs both `cert` and `key`, or neither")
    if kind == "folder" and (found.ca or found.cert):
        raise AddressError("a folder has no certificates; leave `ca`, `cert` and `key` out")
    if kind != "s3" and (found.endpoint or found.region or found.retain_days):
        raise AddressError("`endpoint`, `region` and `retain-days` are for object storage (s3://) alone")


def _split(address: str) -> SplitResult:
    try:
        parts = urlsplit(address)
    except ValueError:
        raise AddressError("it is not a URL") from None
    if "@" in parts.netloc:
        raise AddressError("it must not contain credentials: see docs/audit-shipping.md for where they belong")
    if parts.query or parts.fragment:
        raise AddressError("it must not have `?` or `#`")
    return parts
