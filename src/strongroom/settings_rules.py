"""What settings must be together: rules for values that are each a possible one."""

import ipaddress
import re
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet

import msgspec

from strongroom.audit_destinations import AddressError, require_destination
from strongroom.event_destinations import EventAddressError, require_event_destination
from strongroom.settings import APPROVED_TLS_SUITES, TLS_SUITES, Settings, address_of
from strongroom.settings_values import without_secrets

_STORE_SCHEMES = ("postgresql://", "postgres://")
_MAX_PORT = 65_535
_LARGEST_OBJECT = 4_000_000_000
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(?:[a-z0-9._-]+|\[[0-9a-f:]+\])(?::([0-9]{1,5}))?")
"""The origin of a page as browsers send it (RFC 6454, 6.2): scheme and port are its groups."""
_DEFAULT_PORTS = {("http", "80"), ("https", "443")}
_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\s]+):[0-9]{1,5}")


class Mistake(msgspec.Struct, frozen=True):
    """What is wrong with a setting, in a sentence. ``setting`` is its name; empty for what is about none."""

    setting: str
    text: str


def mistakes_in(settings: Settings, left_out: AbstractSet[str], place: Callable[[str], str]) -> Iterator[Mistake]:
    """Yield what is wrong with settings together. ``place`` returns where a setting, by its name, was set.

    Rules that read one of the fields ``left_out`` are passed over: what was given for those could not be used.
    """
    for rule, fields in _RULES.items():
        if left_out.isdisjoint(fields):
            yield from rule(settings, place)


def listener_mistakes(settings: Settings) -> Iterator[Mistake]:
    """Yield why it cannot be listened on the address ``listen`` with this TLS."""
    yield from _listen(settings, lambda name: f"`{name}`")
    yield from _tls(settings, lambda name: f"`{name}`")
    yield from _plaintext(settings, lambda name: f"`{name}`")


_Place = Callable[[str], str]


def _store(settings: Settings, place: _Place) -> Iterator[Mistake]:
    # The address of a database may hold a password, so no message has it.
    store = settings.store
    if store and not store.startswith(_STORE_SCHEMES) and not re.match(r"\s*[a-z_]+\s*=", store):
        yield Mistake(
            "store",
            f"{place('store')} is not valid: it must be the address of a PostgreSQL database "
            "(`postgresql://USER@HOST/DATABASE`), or empty for SQLite in the data folder",
        )
    for name, is_set in (
        ("store-password-file", settings.store_password_file is not None),
        ("store-direct", bool(settings.store_direct)),
    ):
        if not store and is_set:
            yield Mistake(name, f"{place(name)} needs `store`, the address of a PostgreSQL database")


def _listen(settings: Settings, place: _Place) -> Iterator[Mistake]:
    yield from _address("listen", place, settings.listen)


def _other_listeners(settings: Settings, place: _Place) -> Iterator[Mistake]:
    yield from _address("xks-listen", place, settings.xks_listen)
    if settings.metrics_listen is not None:
        yield from _address("metrics-listen", place, settings.metrics_listen)


def _address(setting: str, place: _Place, address: str) -> Iterator[Mistake]:
    if not _is_address(address):
        yield Mistake(setting, f"{place(setting)} is not valid: it {_must_be_address(address)}")


def _must_be_address(address: str) -> str:
    if re.fullmatch(r"[0-9]+", address):
        hint = f"; a port of this machine alone is `127.0.0.1:{address}`"
    elif re.fullmatch(r"[0-9a-fA-F.]*:[0-9a-fA-F:.]*:[0-9a-fA-F:.]*", address):
        hint = "; an IPv6 address is in brackets, as in `[::1]:4599`"
    elif _ADDRESS.fullmatch(address):
        hint = f"; a port is at most {_MAX_PORT}"
    else:
        hint = ""
    return f"must be HOST:PORT, not `{address}`{hint}"


def _is_address(address: str) -> bool:
    return _ADDRESS.fullmatch(address) is not None and address_of(address)[1] <= _MAX_PORT


def _tls(settings: Settings, _place: _Place) -> Iterator[Mistake]:
    if (settings.tls_cert is None) != (settings.tls_key is None):
        missing = "tls-key" if settings.tls_key is None else "tls-cert"
        yield Mistake(missing, "TLS needs both a certificate and a key: --tls-cert and --tls-key")
    if settings.tls_cert is None and settings.tls_client_ca is not None:
        yield Mistake("tls-client-ca", "`tls-client-ca` needs TLS; give --tls-cert and --tls-key too")
    for suite in settings.tls_ciphers:
        if suite not in TLS_SUITES:
            yield Mistake(
                "tls-ciphers",
                f"`{suite}` in tls-ciphers is not one of the suites of TLS 1.2 that can be allowed: "
                f"{', '.join(TLS_SUITES)}",
            )
    if settings.fips and settings.tls_ciphers and not set(settings.tls_ciphers) <= set(APPROVED_TLS_SUITES):
        allowed = ", ".join(APPROVED_TLS_SUITES)
        yield Mistake("tls-ciphers", f"with `fips`, `tls-ciphers` can have these suites alone: {allowed}")
    if settings.tls_ciphers and settings.tls_min_version != "1.2":
        yield Mistake(
            "tls-ciphers",
            "`tls-ciphers` is about TLS 1.2, which `tls-min-version` forbids; leave one of them out",
        )


def _plaintext(settings: Settings, _place: _Place) -> Iterator[Mistake]:
    if settings.tls_cert is not None or settings.allow_plaintext or not _is_address(settings.listen):
        return
    if not _is_loopback(settings.address[0]):
        yield Mistake(
            "listen",
            f"`{settings.listen}` can be reached by others, and without TLS they can read what is decrypted; "
            "give --tls-cert and --tls-key, or --allow-plaintext if something in front of this server does TLS",
        )


def _proxies(settings: Settings, _place: _Place) -> Iterator[Mistake]:
    for each in settings.xks_proxies:
        if each.address is not None and not _is_address(each.address):
            where = f"`address` of `{each.host}` in `xks-proxies`"
            yield Mistake("xks-proxies", f"{where} {_must_be_address(each.address)}")
        if (each.cert is None) != (each.key is None):
            yield Mistake("xks-proxies", f"`{each.host}` in `xks-proxies` needs both `cert` and `key`, or neither")


def _audit_destinations(settings: Settings, _place: _Place) -> Iterator[Mistake]:
    seen = set[str]()
    for each in settings.audit_ship:
        try:
            require_destination(each)
        except AddressError as error:
            # What is wrong may be a credential in it.
            shown = re.sub(r"//[^/]*@", "//…@", each.to)
            yield Mistake("audit-ship", f"`{shown}` in `audit-ship` is not valid: {error}")
            continue
        if each.to in seen:
            yield Mistake("audit-ship", f"`audit-ship` has `{each.to}` twice")
        seen.add(each.to)
        if each.kind == "s3" and settings.audit_segment_size > _LARGEST_OBJECT:
            yield Mistake(
                "audit-segment-size",
                "`audit-segment-size` must be at most 4 GB with object storage in `audit-ship`, which takes no larger "
                "objects in one piece",
            )


def _events(settings: Settings, _place: _Place) -> Iterator[Mistake]:
    seen = set[str]()
    for each in settings.events:
        try:
            require_event_destination(each)
        except EventAddressError as error:
            # What is wrong may be a credential in it.
            shown = re.sub(r"//.*", "//…", each.to)
            yield Mistake("events", f"`{shown}` in `events` is not valid: {error}")
            continue
        if each.to in seen:
            yield Mistake("events", f"`events` has `{each.shown}` twice")
        seen.add(each.to)


def _clusters(settings: Settings, _place: _Place) -> Iterator[Mistake]:
    used = {(settings.pkcs11_module, settings.pkcs11_token): "`pkcs11-token`"}
    arguments = {settings.pkcs11_module: settings.pkcs11_init_args}
    seen: set[str] = set()
    for each in settings.cloudhsm_clusters:
        other = used.setdefault((each.module, each.token), f"`{each.id}`")
        reasons = {
            f"cloudhsm-clusters has `{each.id}` twice": each.id in seen,
            f"the module of `{each.id}` in cloudhsm-clusters must be an absolute path": each.module[0] != "/",
            f"`{each.id}` in cloudhsm-clusters has the token of {other}; one token serves one use": (
                other != f"`{each.id}`"
            ),
            f"`{each.id}` in cloudhsm-clusters has other init-args than others of its module": (
                arguments.setdefault(each.module, each.init_args) != each.init_args
            ),
        }
        seen.add(each.id)
        yield from (Mistake("cloudhsm-clusters", reason) for reason, holds in reasons.items() if holds)


def _token(settings: Settings, _place: _Place) -> Iterator[Mistake]:
    named = {"pkcs11-module": settings.pkcs11_module, "pkcs11-token": settings.pkcs11_token}
    missing = [name for name, value in named.items() if value is None]
    if settings.key_protection != "software" and missing:
        needs = f"`key-protection` is {settings.key_protection}, which needs `{missing[0]}` too"
        yield Mistake(missing[0], needs)
    if settings.pkcs11_wrap_mechanism is not None and missing:
        yield Mistake(
            "pkcs11-wrap-mechanism",
            f"`pkcs11-wrap-mechanism` is a number of a token's, so it needs `{missing[0]}` too",
        )
    if settings.pkcs11_module is not None and not settings.pkcs11_module.startswith("/"):
        yield Mistake(
            "pkcs11-module",
            "`pkcs11-module` must be an absolute path: the system would look for another one elsewhere",
        )


def _networks(settings: Settings, _place: _Place) -> Iterator[Mistake]:
    for network in settings.trusted_proxies:
        try:
            ipaddress.ip_network(network)
        except ValueError:
            yield Mistake("trusted-proxies", f"`{network}` in trusted-proxies is not a network in CIDR notation")


def _origins(settings: Settings, _place: _Place) -> Iterator[Mistake]:
    for origin in settings.cors_origins:
        found = _ORIGIN.fullmatch(origin)
        if origin != "*" and (found is None or found.groups() in _DEFAULT_PORTS):
            yield Mistake(
                "cors-origins",
                f"`{without_secrets(origin)}` in cors-origins is not an origin as browsers send it: `*`, or a scheme, "
                "a host in lower case and a port other than the default, as in `https://vault.example.com` or "
                "`http://localhost:8080`",
            )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


_TLS_FIELDS = ("tls_cert", "tls_key", "tls_client_ca", "tls_ciphers", "tls_min_version", "fips")
_RULES: dict[Callable[[Settings, _Place], Iterator[Mistake]], tuple[str, ...]] = {
    _store: ("store", "store_password_file", "store_direct"),
    _listen: ("listen",),
    _tls: _TLS_FIELDS,
    _plaintext: ("listen", "tls_cert", "allow_plaintext"),
    _other_listeners: ("metrics_listen", "xks_listen"),
    _token: ("key_protection", "pkcs11_module", "pkcs11_token", "pkcs11_wrap_mechanism"),
    _networks: ("trusted_proxies",),
    _origins: ("cors_origins",),
    _proxies: ("xks_proxies",),
    _clusters: ("cloudhsm_clusters", "pkcs11_module", "pkcs11_token", "pkcs11_init_args"),
    _events: ("events",),
    _audit_destinations: ("audit_ship", "audit_segment_size"),
}
"""Each rule with the fields that it reads."""
