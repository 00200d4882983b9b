"""Finds out whether the files that settings name can be used, without a data folder."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from strongroom.assembly.audit_shipping import require_destinations
from strongroom.assembly.key_back_ends import require_certificates
from strongroom.crypto.documents.attestation import Attestations
from strongroom.crypto.documents.web_identity import WebIdentities
from strongroom.server.tls import Tls
from strongroom.settings import Settings, SettingsError
from strongroom.settings_rules import Mistake

_SECRETS = ("store_password_file", "pkcs11_pin_file", "pkcs11_module", "seal_passphrase_file")
"""Files that are only opened when they are needed."""

_READERS: dict[str, Callable[[Settings], object]] = {
    "tls-cert": Tls,
    "attestation-roots": lambda settings: Attestations(
        settings.attestation_roots, settings.attestation_age, settings.clock_skew
    ),
    "identity-providers": lambda settings: WebIdentities(
        settings.identity_providers, settings.identity_provider_keys, None
    ),
    "xks-proxies": require_certificates,
    "audit-ship": require_destinations,
}
"""What reads the files of each setting; it raises SettingsError or OSError."""


def unusable_files(settings: Settings) -> Iterator[Mistake]:
    """Yield what is wrong with the files that settings name: missing, not readable by this user, or of another kind."""
    for name, read in _READERS.items():
        try:
            read(settings)
        except SettingsError as error:
            yield Mistake(name, str(error))
        except OSError as error:
            yield Mistake(name, f"`{error.filename}` in `{name}` cannot be read: {error.strerror}")
    values = msgspec.structs.asdict(settings)
    for field in _SECRETS:
        path, name = values[field], field.replace("_", "-")
        if isinstance(path, str):
            if not Path(path).exists():
                yield Mistake(name, f"`{path}` in `{name}` does not exist")
            elif not os.access(path, os.R_OK):
                yield Mistake(name, f"`{path}` in `{name}` cannot be read by this user")
