"""Finds out, without a data folder, whether the files that settings name can be used, and what else a start refuses."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from strongroom.assembly.audit_shipping import require_destinations
from strongroom.assembly.events import require_event_destinations
from strongroom.crypto.cloudhsm.configured import ConfiguredClusters
from strongroom.crypto.documents.attestation import Attestations
from strongroom.crypto.documents.issuer_keys import UnusableKeys, keys_in_file
from strongroom.crypto.xks.allowed_hosts import AllowedHosts
from strongroom.event_destinations import EventAddressError
from strongroom.server.tls import Tls
from strongroom.service.request_quotas import RequestQuotas
from strongroom.settings import IdentityProvider, IdentityProviderKeys, Settings, SettingsError
from strongroom.settings_rules import Mistake

_SECRETS = ("store_password_file", "pkcs11_pin_file", "pkcs11_module", "seal_passphrase_file")
"""Files that are only opened when they are needed."""

_READERS: dict[str, Callable[[Settings], object]] = {
    "tls-cert": Tls,
    "attestation-roots": lambda settings: Attestations(
        settings.attestation_roots, settings.attestation_age, settings.clock_skew
    ),
    "identity-providers": lambda settings: require_issuer_keys(settings.identity_providers, "identity-providers"),
    "identity-provider-keys": lambda settings: require_issuer_keys(
        settings.identity_provider_keys, "identity-provider-keys"
    ),
    "xks-proxies": lambda settings: AllowedHosts(settings.xks_proxies, approved_only=settings.fips).load(),
    "cloudhsm-clusters": lambda settings: ConfiguredClusters(settings.cloudhsm_clusters).load(),
    "xks-tls-cert": lambda settings: Tls(
        msgspec.structs.replace(
            settings,
            tls_cert=settings.xks_tls_cert,
            tls_key=settings.xks_tls_key,
            tls_client_ca=settings.xks_tls_client_ca,
        )
    ),
    "audit-ship": require_destinations,
    "events": require_event_destinations,
    "request-quotas": lambda settings: RequestQuotas(settings.request_quotas, settings.regions),
}
"""What uses each setting, and reads the files of it; it raises SettingsError or OSError."""


def unusable_files(settings: Settings) -> Iterator[Mistake]:
    """Yield what is wrong with the files that settings name: missing, not readable by this user, or of another kind.

    Of settings without files, what their users would refuse at a start.
    """
    for name, read in _READERS.items():
        problem = _problem(name, read, settings)
        if problem is not None:
            yield Mistake(name, problem)
    values = msgspec.structs.asdict(settings)
    for field in _SECRETS:
        path, name = values[field], field.replace("_", "-")
        if isinstance(path, str):
            if not Path(path).exists():
                yield Mistake(name, f"`{path}` in `{name}` does not exist")
            elif not os.access(path, os.R_OK):
                yield Mistake(name, f"`{path}` in `{name}` cannot be read by this user")


def require_issuer_keys(issuers: Iterable[IdentityProvider | IdentityProviderKeys], setting: str) -> None:
    """Raise SettingsError if a file with the keys of an issuer in a setting cannot be used.

    A start takes it, because the file is read again when it changes.
    """
    for each in issuers:
        named = f"`{each.jwks}`, the jwks of `{each.issuer}` in {setting},"
        try:
            keys_in_file(each.jwks)
        except OSError as error:
            raise SettingsError(f"{named} cannot be read: {error.strerror}") from None
        except UnusableKeys as error:
            raise SettingsError(f"{named} has no keys that can be used: {error}") from None


def _problem(name: str, read: Callable[[Settings], object], settings: Settings) -> str | None:
    try:
        read(settings)
    except SettingsError as error:
        return str(error)
    except OSError as error:
        return f"`{error.filename}` in `{name}` cannot be read: {error.strerror}"
    except EventAddressError:
        # The rules of the settings say what is wrong with an address.
        return None
    return None
