"""Settings: defaults, then ``strongroom.toml``, then ``STRONGROOM_*`` variables, then the command line."""

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, cast, get_args, get_origin

import msgspec
from msgspec import Meta

_PREFIX = "STRONGROOM_"
_LISTS = frozenset(
    {"regions", "trusted_proxies", "cors_origins", "attestation_roots", "tls_ciphers", "xks_client_names"}
)

_OPTIONS = {"regions": "region"}
"""Settings whose option on the command line has another name."""

TLS_SUITES = tuple(
    f"ECDHE-{signature}-{cipher}"
    for cipher in ("AES256-GCM-SHA384", "AES128-GCM-SHA256", "CHACHA20-POLY1305")
    for signature in ("ECDSA", "RSA")
)
"""The suites of TLS 1.2 that can be allowed, under OpenSSL's names. Each has forward secrecy and an AEAD."""

Region = Annotated[str, Meta(pattern=r"\A[a-z]{2}(-[a-z]+)+-[0-9]{1,2}\Z")]
APPROVED_TLS_SUITES = tuple(suite for suite in TLS_SUITES if "CHACHA20" not in suite)
"""Those that are allowed with ``fips`` (NIST SP 800-52r2, 3.3.1)."""

FileName = Annotated[str, Meta(min_length=1)]
_YEAR = 31_622_400
"""Seconds; more than that, or infinity, is too much for the calls of the system that wait."""
_MOST = 1 << 40
PositiveSeconds = Annotated[float, Meta(gt=0, le=_YEAR)]
Account = Annotated[str, Meta(pattern=r"\A[0-9]{12}\Z")]


class SettingsError(Exception):
    """A setting is not valid; the message tells which and why."""


class IdentityProvider(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """An OpenID Connect issuer: its URL, a file with its public keys (JWKS), and the accepted audiences."""

    issuer: Annotated[str, Meta(pattern=r"\Ahttps?://[^\s?#]+\Z")]
    jwks: str
    audiences: Annotated[tuple[str, ...], Meta(min_length=1)] = ("sts.amazonaws.com",)

    @property
    def name(self) -> str:
        """The issuer without its scheme, as condition keys and provider ARNs have it."""
        return self.issuer.partition("://")[2]


class IdentityProviderKeys(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """A file with the public keys (JWKS) of an OpenID Connect issuer, for accounts that trust it through IAM."""

    issuer: Annotated[str, Meta(pattern=r"\Ahttps://[^\s?#]+\Z")]
    jwks: str


class XksProxyHost(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """A host that may be called as an external key store proxy.

    ``address`` is HOST:PORT, by default the host itself and 443. ``ca`` is a file (PEM) with the authorities that its
    certificate may be of, by default those of the system. ``cert`` and ``key`` are files (PEM) with the certificate
    that this server shows to the host, and its private key.
    """

    host: Annotated[str, Meta(pattern=r"\A[a-zA-Z0-9.-]{2,120}\Z")]
    address: str | None = None
    ca: FileName | None = None
    cert: FileName | None = None
    key: FileName | None = None


class RequestQuota(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """How many requests of a kind an account may make per second, in each Region; each account, unless one is named."""

    requests: str
    per_second: Annotated[float, Meta(gt=0, le=1e9)]
    account: Account | None = None


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """All settings. Times are in seconds, sizes in bytes."""

    data: FileName = "strongroom-data"
    """The data folder; it is made with mode 0700 if missing."""
    listen: str = "127.0.0.1:4599"
    """HOST:PORT; with port 0 the system chooses a free one."""
    regions: Annotated[tuple[Region, ...], Meta(min_length=1)] = ("us-east-1",)
    account: Account = "000000000000"
    """The account made at the first start."""
    tls_cert: FileName | None = None
    tls_key: FileName | None = None
    tls_min_version: Literal["1.2", "1.3"] = "1.2"
    """The lowest version of TLS that a client may use."""
    tls_ciphers: tuple[str, ...] = ()
    """The suites of TLS 1.2 that a client may use, the preferred ones first; without any, all of ``TLS_SUITES``."""
    tls_client_ca: FileName | None = None
    """A file (PEM) with authorities; every client must have a certificate of one of them."""
    seal_passphrase_file: FileName | None = None
    """A file with the passphrase of the seal ``passphrase`` in its first line."""
    allow_plaintext: bool = False
    """Listen without TLS on an address that others can reach."""
    trusted_proxies: tuple[str, ...] = ()
    """Networks (CIDR) of proxies whose X-Forwarded-For and X-Forwarded-Proto are trusted."""
    cors_origins: tuple[str, ...] = ()
    """Origins of web pages that may call from a browser, or ``*`` for all; without any, none may."""
    identity_providers: tuple[IdentityProvider, ...] = ()
    """OpenID Connect issuers whose tokens AssumeRoleWithWebIdentity accepts, in all accounts."""
    identity_provider_keys: tuple[IdentityProviderKeys, ...] = ()
    """The keys of OpenID Connect issuers for which accounts make providers through IAM."""
    fetch_identity_provider_keys: bool = False
    """Fetch the keys of providers made through IAM from their issuers, unless the keys are set or in a file."""
    attestation_roots: tuple[FileName, ...] = ()
    """Files (PEM) with the root certificates of attestation documents; without any, no document is accepted."""
    attestation_age: PositiveSeconds = 300.0
    """How old an attestation document may be."""
    managed_rotation_days: Annotated[int, Meta(ge=1, le=36_500)] = 1035
    """How often the keys behind ``alias/aws/…`` are rotated."""
    domain_key_rotation_days: Annotated[int, Meta(ge=0, le=36_500)] = 0
    """The age at which the keeper rotates domain keys; 0 for never."""
    customer_keys: Annotated[int, Meta(ge=0, le=_MOST)] = 100_000
    """How many customer managed keys an account may have in a Region."""
    request_quotas: tuple[RequestQuota, ...] = ()
    """Request rates above which requests are refused with ThrottlingException; without any, there is no rate limit."""
    durability: Literal["write", "fsync"] = "write"
    """What an audit record survives once its answer is sent: a crash of the process (write) or machine (fsync)."""
    audit_segment_size: Annotated[int, Meta(ge=4096, le=_MOST)] = 67_108_864
    """The size at which a new file of the audit log is started; one is also started each day (UTC)."""
    fips: bool = False
    """Use approved algorithms only, and refuse all others by name."""
    serve_damaged: bool = False
    """Serve what can be read of a database that is found damaged at the start; otherwise the start is refused."""
    clock_skew: PositiveSeconds = 300.0
    """How much a request's time may differ from the server's."""
    keeper_interval: Annotated[float, Meta(ge=0.05, le=_YEAR)] = 5.0
    """The interval at which due rotations and deletions are done."""
    workers: Annotated[int, Meta(ge=0, le=60)] = 0
    """The number of worker processes; 0 means one for each core."""
    worker_timeout: Annotated[float, Meta(ge=3, le=_YEAR)] = 30.0
    """How long one of several workers may miss its heartbeat before it is killed and replaced."""
    threads: Annotated[int, Meta(ge=1, le=256)] = 4
    """Threads for work that waits for a disk."""
    key_backend_threads: Annotated[int, Meta(ge=1, le=256)] = 8
    """Threads for calls that use keys in a hardware token or behind a network."""
    xks_proxies: tuple[XksProxyHost, ...] = ()
    """Hosts that may be called as external key store proxies; without any, no external key store can be made."""
    xks_timeout: Annotated[float, Meta(ge=0.01, le=10)] = 0.25
    """How long a call of an external key store proxy may take, connection included."""
    xks_threads: Annotated[int, Meta(ge=2, le=256)] = 16
    """Threads for calls that need an external key store proxy; one key store can use half of them."""
    cached_keys: Annotated[int, Meta(ge=1, le=_MOST)] = 100_000
    """How many keys are cached in memory."""
    max_connections: Annotated[int, Meta(ge=1, le=_MOST)] = 16_384
    """The most connections of a worker; the limit of open files can allow fewer."""
    held_bytes: Annotated[int, Meta(ge=0, le=_MOST)] = 67_108_864
    """The most memory of a worker for unanswered requests and unread answers, beyond 8 KB a connection."""
    request_time: PositiveSeconds = 20.0
    """How long a client may take to send one request, or to read its answer."""
    idle_time: PositiveSeconds = 75.0
    """How long a connection may wait for its next request."""
    drain: Annotated[float, Meta(ge=0, le=_YEAR)] = 30.0
    """How long a stopping server waits for unfinished requests."""

    xks_listen: str = "127.0.0.1:4600"
    """HOST:PORT of ``strongroom xks-proxy serve``."""
    xks_tls_cert: FileName | None = None
    xks_tls_key: FileName | None = None
    xks_tls_client_ca: FileName | None = None
    """A file (PEM) with authorities; AWS KMS must show a certificate of one of them to the XKS proxy."""
    xks_client_names: tuple[str, ...] = ()
    """The common names that such a certificate may have; without any, that of the KMS of the proxy's AWS Region."""
    xks_serve_threads: Annotated[int, Meta(ge=1, le=256)] = 8
    """Threads of the XKS proxy."""
    xks_deadline: Annotated[float, Meta(ge=0.01, le=60)] = 0.2
    """How long a call to the XKS proxy may take before it is answered with an error."""

    metrics_listen: str | None = None
    """HOST:PORT of a separate listener for metrics, without authentication; without it, there is none."""
    log_format: Literal["text", "json"] = "text"
    """The format of log lines on standard error."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The lowest level that is logged."""
    access_log: bool = False
    """Log a line for each call."""
    traces: Annotated[str, Meta(pattern=r"\Ahttps?://[^\s]+\Z")] | None = None
    """Where traces are sent: the URL of an OTLP/HTTP receiver; without it, there are none."""

    @property
    def folder(self) -> Path:
        """The data folder as an absolute path."""
        return Path(self.data).absolute()

    @property
    def address(self) -> tuple[str, int]:
        """Where to listen, host and port."""
        return address_of(self.listen)

    @property
    def scheme(self) -> str:
        """``https`` with TLS, else ``http``."""
        return "https" if self.tls_cert else "http"


RELOADED = frozenset(
    {"tls_cert", "tls_key", "tls_min_version", "tls_ciphers", "tls_client_ca"}
    | {"log_level", "keeper_interval", "worker_timeout", "drain"}
)
"""The settings that a running server takes on when it is told to read its settings anew."""
_TLS_FILES = {"tls_cert", "tls_key", "tls_client_ca"}

_MAX_PORT = 65_535
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(?:[a-z0-9._-]+|\[[0-9a-f:]+\])(?::([0-9]{1,5}))?")
"""The origin of a page as browsers send it (RFC 6454, 6.2): scheme and port are its groups."""
_DEFAULT_PORTS = {("http", "80"), ("https", "443")}


def load(
    document: str, environment: Mapping[str, str], flags: Mapping[str, object], file: str = "strongroom.toml"
) -> Settings:
    """Return the settings; raises SettingsError.

    ``document`` is the TOML text of ``file``, ``environment`` the process's variables, ``flags`` what the command line
    gave (None where it gave nothing).
    """
    try:
        in_file = _from_toml(document)
    except msgspec.DecodeError as error:
        raise SettingsError(f"`{file}` is not valid TOML: {error}") from None
    in_environment = _from_environment(environment)
    given = {name.replace("_", "-"): value for name, value in flags.items() if value is not None}
    places = {name: f"`{name}` in `{file}`" for name in in_file}
    places |= {name: f"{_PREFIX}{name.replace('-', '_').upper()}" for name in in_environment}
    places |= {name: f"--{_OPTIONS.get(name, name)}" for name in given}
    try:
        settings = msgspec.convert(in_file | in_environment | given, Settings, strict=False)
    except msgspec.DecodeError as error:
        raise SettingsError(_explained(str(error), places, file)) from None
    _require_text(settings, places)
    require_listener(settings)
    if settings.metrics_listen is not None:
        _require_address("metrics-listen", settings.metrics_listen)
    _require_networks(settings)
    _require_origins(settings)
    _require_proxies(settings)
    return settings


def _explained(error: str, places: Mapping[str, str], file: str) -> str:
    """Return what is wrong with which setting, where it was set, and what it can be if there is a list of that.

    ``places`` tells where each setting comes from.
    """
    found = re.fullmatch(r"(.*) - at `\$\.([a-z-]+)(.*)`", error)
    if found is None:
        return f"`{file}`: {error}; docs/settings.md has all settings"
    reason, name, rest = found.groups()
    field = next(each for each in msgspec.structs.fields(Settings) if each.encode_name == name)
    choices = get_args(field.type) if get_origin(field.type) is Literal and not rest else ()
    allowed = f"; it can be {', '.join(map(str, choices))}" if choices else ""
    within = f" (at `{rest.lstrip('.')}`)" if rest else ""
    return f"{places[name]} is not valid: {reason}{within}{allowed}"


def _require_text(settings: Settings, places: Mapping[str, str]) -> None:
    """Refuse names of files that are not UTF-8: they can be in no JSON, and so in no audit record and no worker."""
    for name, value in msgspec.structs.asdict(settings).items():
        try:
            msgspec.json.encode(value)
        except UnicodeEncodeError:
            raise SettingsError(
                f"{places[name.replace('_', '-')]} is not valid: it is not UTF-8; rename the file"
            ) from None


def changed(before: Settings, after: Settings) -> set[str]:
    """Return the names of the fields that differ."""
    old, new = msgspec.structs.asdict(before), msgspec.structs.asdict(after)
    return {name for name, value in new.items() if value != old[name]}


def reloaded(running: Settings, read: Settings) -> Settings:
    """Return the settings of a running server with what it can take on from those that were read anew.

    It goes on with TLS, or without: its clients know one URL.
    """
    names = RELOADED if (running.tls_cert is None) == (read.tls_cert is None) else RELOADED - _TLS_FILES
    new = msgspec.structs.asdict(read)
    return msgspec.structs.replace(running, **{name: new[name] for name in names})


def _from_toml(document: str) -> dict[str, object]:
    return cast("dict[str, object]", msgspec.toml.decode(document))


def _from_environment(environment: Mapping[str, str]) -> dict[str, object]:
    found: dict[str, object] = {}
    for field in msgspec.structs.fields(Settings):
        text = environment.get(_PREFIX + field.name.upper())
        if text is not None:
            found[field.encode_name] = text.split(",") if field.name in _LISTS else text
    return found


def address_of(listen: str) -> tuple[str, int]:
    """Return host and port of HOST:PORT."""
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)


def require_listener(settings: Settings) -> None:
    """Raise SettingsError unless it can be listened on the address with this TLS."""
    _require_address("listen", settings.listen)
    _require_tls(settings)


def _require_address(setting: str, address: str) -> None:
    if not re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:\s]+):[0-9]{1,5}", address) or address_of(address)[1] > _MAX_PORT:
        raise SettingsError(f"`{setting}` must be HOST:PORT, not `{address}`")


def _require_tls(settings: Settings) -> None:
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise SettingsError("TLS needs both a certificate and a key: --tls-cert and --tls-key")
    if settings.tls_cert is None and settings.tls_client_ca is not None:
        raise SettingsError("`tls-client-ca` needs TLS; give --tls-cert and --tls-key too")
    for suite in settings.tls_ciphers:
        if suite not in TLS_SUITES:
            raise SettingsError(
                f"`{suite}` in tls-ciphers is not one of the suites of TLS 1.2 that can be allowed: "
                f"{', '.join(TLS_SUITES)}"
            )
    if settings.fips and settings.tls_ciphers and not set(settings.tls_ciphers) <= set(APPROVED_TLS_SUITES):
        raise SettingsError(f"with `fips`, `tls-ciphers` can have these suites alone: {', '.join(APPROVED_TLS_SUITES)}")
    if settings.tls_ciphers and settings.tls_min_version != "1.2":
        raise SettingsError("`tls-ciphers` is about TLS 1.2, which `tls-min-version` forbids; leave one of them out")
    if settings.tls_cert is None and not settings.allow_plaintext and not _is_loopback(settings.address[0]):
        raise SettingsError(
            f"`{settings.listen}` can be reached by others, and without TLS they can read what is decrypted; "
            "give --tls-cert and --tls-key, or --allow-plaintext if something in front of this server does TLS"
        )


def _require_proxies(settings: Settings) -> None:
    for each in settings.xks_proxies:
        if each.address is not None:
            _require_address(f"address` of `{each.host}` in `xks-proxies", each.address)
        if (each.cert is None) != (each.key is None):
            raise SettingsError(f"`{each.host}` in `xks-proxies` needs both `cert` and `key`, or neither")


def _require_networks(settings: Settings) -> None:
    for network in settings.trusted_proxies:
        try:
            ipaddress.ip_network(network)
        except ValueError:
            raise SettingsError(f"`{network}` in trusted-proxies is not a network in CIDR notation") from None


def _require_origins(settings: Settings) -> None:
    for origin in settings.cors_origins:
        found = _ORIGIN.fullmatch(origin)
        if origin != "*" and (found is None or found.groups() in _DEFAULT_PORTS):
            raise SettingsError(
                f"`{origin}` in cors-origins is not an origin as browsers send it: `*`, or a scheme, a host in lower "
                "case and a port other than the default, as in `https://vault.example.com` or `http://localhost:8080`"
            )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
