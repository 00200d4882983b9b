"""Reads the settings: defaults, then ``strongroom.toml``, then ``STRONGROOM_*`` variables, then the command line."""

import ipaddress
import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Literal, cast, get_args, get_origin

import msgspec

from strongroom.audit_destinations import AddressError, require_destination
from strongroom.event_destinations import EventAddressError, require_event_destination
from strongroom.settings import APPROVED_TLS_SUITES, TLS_SUITES, Settings, SettingsError, address_of

_PREFIX = "STRONGROOM_"
_LISTS = frozenset(
    {
        "events_notice_days",
        "regions",
        "trusted_proxies",
        "cors_origins",
        "attestation_roots",
        "tls_ciphers",
        "xks_client_names",
    }
)

_OPTIONS = {"regions": "region"}
"""Settings whose option on the command line has another name."""

RELOADED = frozenset(
    {"tls_cert", "tls_key", "tls_min_version", "tls_ciphers", "tls_client_ca"}
    | {"log_level", "keeper_interval", "worker_timeout", "drain", "lease"}
)
"""The settings that a running server takes on when it is told to read its settings anew."""
_TLS_FILES = {"tls_cert", "tls_key", "tls_client_ca"}

_STORE_SCHEMES = ("postgresql://", "postgres://")
_MAX_PORT = 65_535
_LARGEST_OBJECT = 4_000_000_000
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
    _require_store(settings, places)
    require_listener(settings)
    if settings.metrics_listen is not None:
        _require_address("metrics-listen", settings.metrics_listen)
    _require_token(settings)
    _require_networks(settings)
    _require_origins(settings)
    _require_proxies(settings)
    _require_clusters(settings)
    _require_audit_destinations(settings)
    _require_event_destinations(settings)
    return settings


def _explained(error: str, places: Mapping[str, str], file: str) -> str:
    """Return what is wrong with which setting, where it was set, and what it can be if there is a list of that.

    ``places`` tells where each setting comes from.
    """
    found = re.fullmatch(r"(.*) - at `\$\.([a-z0-9-]+)(.*)`", error)
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


def _require_store(settings: Settings, places: Mapping[str, str]) -> None:
    """Refuse what cannot be the address of a database. It may hold a password, so no message has it."""
    store = settings.store
    if store and not store.startswith(_STORE_SCHEMES) and not re.match(r"\s*[a-z_]+\s*=", store):
        raise SettingsError(
            f"{places['store']} is not valid: it must be the address of a PostgreSQL database "
            "(`postgresql://USER@HOST/DATABASE`), or empty for SQLite in the data folder"
        )
    for name, is_set in (
        ("store-password-file", settings.store_password_file is not None),
        ("store-direct", bool(settings.store_direct)),
    ):
        if not store and is_set:
            raise SettingsError(f"{places[name]} needs `store`, the address of a PostgreSQL database")


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


def unknown_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that look like settings and are none, each with the most similar one that is, or nothing."""
    known = [field.name.upper() for field in msgspec.structs.fields(Settings)]
    names = sorted(name.removeprefix(_PREFIX) for name in environment if name.startswith(_PREFIX))
    unknown = {name: get_close_matches(name, known, 1) for name in names if name not in known}
    return {_PREFIX + name: _PREFIX + similar[0] if similar else "" for name, similar in unknown.items()}


def _from_environment(environment: Mapping[str, str]) -> dict[str, object]:
    found: dict[str, object] = {}
    for field in msgspec.structs.fields(Settings):
        text = environment.get(_PREFIX + field.name.upper())
        if text is not None:
            found[field.encode_name] = text.split(",") if field.name in _LISTS else text
    return found


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


def _require_event_destinations(settings: Settings) -> None:
    seen = set[str]()
    for each in settings.events:
        try:
            require_event_destination(each)
        except EventAddressError as error:
            # What is wrong may be a credential in it.
            at = re.sub(r"//.*", "//…", each.to)
            raise SettingsError(f"`{at}` in `events` is not valid: {error}") from None
        shown = each.shown
        if each.to in seen:
            raise SettingsError(f"`events` has `{shown}` twice")
        seen.add(each.to)


def _require_audit_destinations(settings: Settings) -> None:
    seen = set[str]()
    for each in settings.audit_ship:
        try:
            require_destination(each)
        except AddressError as error:
            # What is wrong may be a credential in it.
            shown = re.sub(r"//[^/]*@", "//…@", each.to)
            raise SettingsError(f"`{shown}` in `audit-ship` is not valid: {error}") from None
        if each.to in seen:
            raise SettingsError(f"`audit-ship` has `{each.to}` twice")
        seen.add(each.to)
        if each.kind == "s3" and settings.audit_segment_size > _LARGEST_OBJECT:
            raise SettingsError(
                "`audit-segment-size` must be at most 4 GB with object storage in `audit-ship`, which takes no larger "
                "objects in one piece"
            )


def _require_clusters(settings: Settings) -> None:
    used = {(settings.pkcs11_module, settings.pkcs11_token): "`pkcs11-token`"}
    arguments = {settings.pkcs11_module: settings.pkcs11_init_args}
    seen: set[str] = set()
    for each in settings.cloudhsm_clusters:
        if each.id in seen:
            raise SettingsError(f"cloudhsm-clusters has `{each.id}` twice")
        seen.add(each.id)
        if not each.module.startswith("/"):
            raise SettingsError(f"the module of `{each.id}` in cloudhsm-clusters must be an absolute path")
        other = used.setdefault((each.module, each.token), f"`{each.id}`")
        if other != f"`{each.id}`":
            raise SettingsError(f"`{each.id}` in cloudhsm-clusters has the token of {other}; one token serves one use")
        if arguments.setdefault(each.module, each.init_args) != each.init_args:
            raise SettingsError(f"`{each.id}` in cloudhsm-clusters has other init-args than others of its module")


def _require_token(settings: Settings) -> None:
    named = {"pkcs11-module": settings.pkcs11_module, "pkcs11-token": settings.pkcs11_token}
    missing = [name for name, value in named.items() if value is None]
    if settings.key_protection != "software" and missing:
        raise SettingsError(f"`key-protection` is {settings.key_protection}, which needs `{missing[0]}` too")
    if settings.pkcs11_wrap_mechanism is not None and missing:
        raise SettingsError(f"`pkcs11-wrap-mechanism` is a number of a token's, so it needs `{missing[0]}` too")
    if settings.pkcs11_module is not None and not settings.pkcs11_module.startswith("/"):
        raise SettingsError("`pkcs11-module` must be an absolute path: the system would look for another one elsewhere")


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
