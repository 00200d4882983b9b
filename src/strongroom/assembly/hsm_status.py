"""What ``strongroom hsm status`` shows: the module, the token, what it can do, and the domain keys in it."""

from collections.abc import Mapping, Sequence
from contextlib import closing

import msgspec

from strongroom.assembly.data_folder import DataFolder
from strongroom.assembly.open_folder import open_existing
from strongroom.assembly.tokens import ConfiguredToken
from strongroom.assembly.unsealing import Unsealing
from strongroom.clock import Clock
from strongroom.crypto.domain_keys import OpenDomainKey
from strongroom.crypto.pkcs11.capabilities import Capabilities, capabilities_of
from strongroom.crypto.pkcs11.connection import TokenName
from strongroom.crypto.pkcs11.wrapping import wrapping_keys_in
from strongroom.crypto.seals.document import SealKind
from strongroom.entropy import Entropy
from strongroom.settings import Settings


class DomainKeyStatus(msgspec.Struct, frozen=True):
    """A domain key that the database says is in the token, the id of its object, and whether that is there."""

    region: str
    version: int
    object_id: str
    there: bool


class HsmStatus(msgspec.Struct, frozen=True):
    """The hardware token of the settings. ``other_objects`` have our label, and the database does not name them."""

    key_protection: str
    module: str
    token: TokenName
    capabilities: Capabilities
    domain_keys: Sequence[DomainKeyStatus]
    seals: Sequence[str]
    """The seals whose keys are in the token."""
    other_objects: Sequence[str]
    refused_key_specs: Sequence[str]
    """What CreateKey refuses for want of something in the token, each with the reason."""


def hsm_status(settings: Settings, clock: Clock, entropy: Entropy, unsealing: Unsealing) -> HsmStatus:
    """Return the state of the token, also before a first start.

    Raises SettingsError if no token is set, UnsealError or SealUnavailableError if it cannot be used, and what
    ``open_existing`` does.
    """
    folder = DataFolder(settings.folder)
    token = ConfiguredToken(unsealing, folder.token_login if folder.database.exists() else None)
    try:
        connection = token.require()
        capabilities = capabilities_of(token, str(settings.pkcs11_module))
        there = wrapping_keys_in(token)
    finally:
        token.close()
    keys, seals = _named(settings, clock, entropy, unsealing)
    named = {each.key for each in keys} | seals.keys()
    return HsmStatus(
        key_protection=settings.key_protection,
        module=str(settings.pkcs11_module),
        token=connection.name,
        capabilities=capabilities,
        domain_keys=[DomainKeyStatus(each.scope, each.version, each.key.hex(), each.key in there) for each in keys],
        seals=[name for key, name in seals.items() if key in there],
        other_objects=[f"{label} {each.hex()}" for each, label in sorted(there.items()) if each not in named],
        # In root depth keys are used in this process, so the token decides nothing about their specs.
        refused_key_specs=[],
    )


def _named(
    settings: Settings, clock: Clock, entropy: Entropy, unsealing: Unsealing
) -> tuple[Sequence[OpenDomainKey], Mapping[bytes, str]]:
    """Return the domain keys that are in the token, and the names of the seals whose keys are, by object id."""
    if not DataFolder(settings.folder).database.exists():
        return (), {}
    with closing(open_existing(settings, clock, entropy, unsealing=unsealing)) as opened:
        objects = [(each.name, each.parameters) for each in opened.seals.status().seals if each.kind is SealKind.PKCS11]
        seals = {bytes.fromhex(str(parameters["object"])): name for name, parameters in objects}
        return opened.unsealed_keys.in_token, seals
