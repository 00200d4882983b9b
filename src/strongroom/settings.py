"""The settings, their types and their defaults. ``settings_sources`` reads them."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from strongroom.audit_destinations import AuditDestination
from strongroom.event_destinations import EventDestination
from strongroom.file_names import FileName, ModuleName

TLS_SUITES = tuple(
    f"ECDHE-{signature}-{cipher}"
    for cipher in ("AES256-GCM-SHA384", "AES128-GCM-SHA256", "CHACHA20-POLY1305")
    for signature in ("ECDSA", "RSA")
)
"""The suites of TLS 1.2 that can be allowed, under OpenSSL's names. Each has forward secrecy and an AEAD."""

KeyProtection = Literal["software", "pkcs11-root", "pkcs11-full"]
"""What protects key material: this process, domain keys in a hardware token, or that token alone."""

Region = Annotated[str, Meta(pattern=r"\A[a-z]{2}(-[a-z]+)+-[0-9]{1,2}\Z", description="a Region such as us-east-1")]
APPROVED_TLS_SUITES = tuple(suite for suite in TLS_SUITES if "CHACHA20" not in suite)
"""Those that are allowed with ``fips`` (NIST SP 800-52r2, 3.3.1)."""

_YEAR = 31_622_400
"""Seconds; more than that, or infinity, is too much for the calls of the system that wait."""
_MOST = 1 << 40
MOST_WORKERS = 60
PositiveSeconds = Annotated[float, Meta(gt=0, le=_YEAR)]
Account = Annotated[str, Meta(pattern=r"\A[0-9]{12}\Z", description="an account id of 12 digits")]
_ISSUER = "a URL without `?` and `#` that begins with"
"""The description of a pattern is what messages say of it."""


class SettingsError(Exception):
    """A setting is not valid; the message tells which and why."""


class IdentityProvider(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """An OpenID Connect issuer: its URL, a file with its public keys (JWKS), and the accepted audiences."""

    issuer: Annotated[str, Meta(pattern=r"\Ahttps?://[^\s?#]+\Z", description=f"{_ISSUER} https:// or http://")]
    jwks: FileName
    audiences: Annotated[tuple[str, ...], Meta(min_length=1)] = ("sts.amazonaws.com",)

    @property
    def name(self) -> str:
        """The issuer without its scheme, as condition keys and provider ARNs have it."""
        return self.issuer.partition("://")[2]


class IdentityProviderKeys(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """A file with the public keys (JWKS) of an OpenID Connect issuer, for accounts that trust it through IAM."""

    issuer: Annotated[str, Meta(pattern=r"\Ahttps://[^\s?#]+\Z", description=f"{_ISSUER} https://")]
    jwks: FileName


class XksProxyHost(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """A host that may be called as an external key store proxy.

    ``address`` is HOST:PORT, by default the host itself and 443. ``ca`` is a file (PEM) with the authorities that its
    certificate may be of, by default those of the system. ``cert`` and ``key`` are files (PEM) with the certificate
    that this server shows to the host, and its private key.
    """

    host: Annotated[str, Meta(pattern=r"\A[a-zA-Z0-9.-]{2,120}\Z", description="the name of a host, without a port")]
    address: str | None = None
    ca: FileName | None = None
    cert: FileName | None = None
    key: FileName | None = None


class CloudHsmCluster(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """A hardware token that a custom key store of type AWS_CLOUDHSM can be in, under the id of a cluster.

    ``module`` is the PKCS #11 module, by its path, and ``token`` the label or serial number of the token.
    ``trust_anchor`` is a file (PEM) with the certificate that CreateCustomKeyStore must be given; without it, any is
    taken. ``init_args`` is what the module is initialized with. ``account`` is the one that may use the cluster,
    without it every account may.
    """

    id: Annotated[
        str,
        Meta(
            pattern=r"\Acluster-[2-7a-zA-Z]{11,16}\Z",
            description="`cluster-` and 11 to 16 letters and digits from 2 to 7, such as cluster-2222222aaaa",
        ),
    ]
    module: ModuleName
    token: Annotated[str, Meta(min_length=1, max_length=64)]
    trust_anchor: FileName | None = None
    init_args: Annotated[str, Meta(min_length=1)] | None = None
    account: Account | None = None


class RequestQuota(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """How many requests of a kind an account may make per second, in each Region; each account, unless one is named."""

    requests: str
    per_second: Annotated[float, Meta(gt=0, le=1e9)]
    account: Account | None = None


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """All settings. Times are in seconds, sizes in bytes."""

    data: FileName = "strongroom-data"
    """The data folder; it is made with mode 0700 if missing."""
    store: str = ""
    """The database: empty for SQLite in the data folder, or the address of a PostgreSQL database (a connection string
    or URI of libpq)."""
    store_password_file: FileName | None = None
    """A file with the password for the PostgreSQL database in its first line."""
    store_timeout: Annotated[float, Meta(ge=0.5, le=60)] = 5.0
    """How long a statement of the PostgreSQL database may take."""
    store_connections: Annotated[int, Meta(ge=4, le=1000)] = 16
    """The most connections of each worker to the PostgreSQL database."""
    store_poll: Annotated[float, Meta(ge=0.01, le=0.5)] | None = None
    """How often a node looks for what others have changed in the PostgreSQL database; without it, it is notified.

    Reads wait for no longer than a second for what a node has not found yet."""
    store_direct: str = ""
    """Where ``store`` leads to a pooler: the address of the PostgreSQL server itself, for leases and for commands."""
    lease: Annotated[float, Meta(ge=2, le=60)] = 10.0
    """How long a node serves while it does not reach the PostgreSQL database."""
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
    key_protection: KeyProtection = "software"
    """What protects key material: domain keys in this process or in a hardware token, or (``pkcs11-full``) that token:
    backing keys are made and used in it alone."""
    pkcs11_module: ModuleName | None = None
    """The PKCS #11 module (shared library) of a hardware token."""
    pkcs11_token: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    """The label or the serial number of the token."""
    pkcs11_pin_file: FileName | None = None
    """A file with the PIN of the token's user in its first line."""
    pkcs11_init_args: Annotated[str, Meta(min_length=1)] | None = None
    """What the module is initialized with; few modules take anything (NSS: its folder)."""
    pkcs11_handles: Annotated[int, Meta(ge=16, le=1_000_000)] = 1000
    """How many key handles of a token are kept."""
    pkcs11_threads: Annotated[int, Meta(ge=1, le=256)] = 8
    """How many calls of a token each worker makes at a time."""
    pkcs11_wrap_mechanism: Annotated[int, Meta(ge=1, le=0xFFFF_FFFF)] | None = None
    """The number under which the token has AES key wrap with padding (RFC 5649); without it, it is found by trying."""
    seal_passphrase_file: FileName | None = None
    """A file with the passphrase of the seal ``passphrase`` in its first line."""
    allow_plaintext: bool = False
    """Listen without TLS on an address that others can reach. The XKS proxy has a setting of its own."""
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
    audit_ship: tuple[AuditDestination, ...] = ()
    """Where the audit log is shipped to while it is written; without any, it is in the data folder alone."""
    audit_ship_timeout: Annotated[float, Meta(ge=0.1, le=600)] = 5.0
    """How long a call waits for the required destinations of the audit log before it is answered with an error."""
    audit_ship_lag: PositiveSeconds = 300.0
    """How old the oldest line may be that a destination lacks before that is a problem."""
    events: tuple[EventDestination, ...] = ()
    """Where events are sent: what happens to keys, and what an operator should know."""
    events_queue: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
    """How many events wait for a destination that does not take them; more replace the oldest."""
    events_notice_days: tuple[Annotated[int, Meta(ge=1, le=365)], ...] = (30, 7, 1)
    """How many days before imported key material expires, or a key is deleted, there is an event about that."""
    events_denied: Annotated[int, Meta(ge=0, le=1_000_000)] = 20
    """After how many denied calls of one principal, or for one key, there is an event; 0 for never."""
    events_denied_window: PositiveSeconds = 60.0
    """Within which time so many calls must be denied."""
    fips: bool = False
    """Use approved algorithms only, and refuse all others by name."""
    serve_damaged: bool = False
    """Serve what can be read of a database that is found damaged at the start; otherwise the start is refused."""
    clock_skew: PositiveSeconds = 300.0
    """How much a request's time may differ from the server's."""
    keeper_interval: Annotated[float, Meta(ge=0.05, le=_YEAR)] = 5.0
    """The interval at which due rotations and deletions are done."""
    workers: Annotated[int, Meta(ge=0, le=MOST_WORKERS)] = 0
    """The number of worker processes; 0 means one for each core, as far as that is allowed."""
    worker_timeout: Annotated[float, Meta(ge=3, le=_YEAR)] = 30.0
    """How long one of several workers may miss its heartbeat before it is killed and replaced."""
    threads: Annotated[int, Meta(ge=1, le=256)] = 4
    """Threads for calls that read from the database."""
    write_threads: Annotated[int, Meta(ge=0, le=256)] = 0
    """Threads for calls that write to the database; 0 means as many as ``threads`` on SQLite, and 32 on PostgreSQL."""
    key_backend_threads: Annotated[int, Meta(ge=1, le=256)] = 8
    """Threads for calls that use keys in a hardware token or behind a network."""
    xks_proxies: tuple[XksProxyHost, ...] = ()
    """Hosts that may be called as external key store proxies; without any, no external key store can be made."""
    xks_timeout: Annotated[float, Meta(ge=0.01, le=10)] = 0.25
    """How long a call of an external key store proxy may take, connection included."""
    xks_threads: Annotated[int, Meta(ge=2, le=256)] = 16
    """Threads for calls that need an external key store proxy; one key store can use half of them."""
    cloudhsm_clusters: tuple[CloudHsmCluster, ...] = ()
    """Hardware tokens in which custom key stores of type AWS_CLOUDHSM can be made; without any, none can."""
    loaded_keys: Annotated[int, Meta(ge=1, le=_MOST)] = 100_000
    """How many keys each worker has in its memory with their material."""
    loaded_keys_time: Annotated[float, Meta(ge=0, le=_YEAR)] = 3600.0
    """After how many seconds the material of a key is forgotten, and loaded again at its next use; 0 for never."""
    cached_keys: Annotated[int, Meta(ge=1, le=_MOST)] = 100_000
    """How many keys are cached in memory."""
    max_connections: Annotated[int, Meta(ge=1, le=_MOST)] = 16_384
    """The most connections of a worker; the limit of open files can allow fewer."""
    held_bytes: Annotated[int, Meta(ge=0, le=_MOST)] = 67_108_864
    """The most memory of a worker for unanswered requests and unread answers, beyond 12 KiB a connection."""
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
    xks_allow_plaintext: bool = False
    """Have the XKS proxy listen without TLS on an address that others can reach."""
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
    traces: (
        Annotated[str, Meta(pattern=r"\Ahttps?://[^\s]+\Z", description="a URL that begins with http:// or https://")]
        | None
    ) = None
    """Where traces are sent: the URL of an OTLP/HTTP receiver; without it, there are none."""

    @property
    def folder(self) -> Path:
        """The data folder as an absolute path."""
        return Path(self.data).absolute()

    @property
    def is_on_postgresql(self) -> bool:
        """Whether the state is in a PostgreSQL database that several nodes can share."""
        return bool(self.store)

    @property
    def address(self) -> tuple[str, int]:
        """Where to listen, host and port."""
        return address_of(self.listen)

    @property
    def scheme(self) -> str:
        """``https`` with TLS, else ``http``."""
        return "https" if self.tls_cert else "http"


def address_of(listen: str) -> tuple[str, int]:
    """Return host and port of HOST:PORT."""
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)
