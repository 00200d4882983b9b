"""What ``strongroom hsm status`` shows: the module, the token, what it can do, and the domain keys in it."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import closing

import msgspec

from strongroom.assembly.databases.chosen import database_of
from strongroom.assembly.open_folder import open_existing
from strongroom.assembly.protections import FULL_DEPTH, object_id_of, protection_of
from strongroom.assembly.restored_objects import shared_objects
from strongroom.assembly.token_objects import OtherObject, destructions_of_objects, keys_of_seals, other_objects
from strongroom.assembly.tokens import ConfiguredToken
from strongroom.assembly.unsealing import Unsealing
from strongroom.clock import Clock
from strongroom.crypto.domain_keys import OpenDomainKey
from strongroom.crypto.pkcs11.capabilities import Capabilities, capabilities_of
from strongroom.crypto.pkcs11.connection import TokenName
from strongroom.crypto.pkcs11.wrapping import wrapping_keys_in
from strongroom.entropy import Entropy
from strongroom.keys.specs import KeySpec, KeyUsage
from strongroom.keys.wrapping import WrappingAlgorithm
from strongroom.settings import KeyProtection, Settings
from strongroom.store.subjects.destructions import Destruction


class DomainKeyStatus(msgspec.Struct, frozen=True):
    """A domain key that the database says has an object in the token, its id, and whether that is there.

    The object is the domain key itself (``pkcs11-root``), or its key encryption key (``pkcs11-full``).
    """

    region: str
    version: int
    key_protection: KeyProtection
    object_id: str
    there: bool
    shared: bool
    """Whether another deployment may need the object, as for all of ``HsmStatus`` (``restored_objects``)."""


class RefusedSpec(msgspec.Struct, frozen=True):
    """A key spec and usage that the token cannot keep, and why."""

    key_spec: KeySpec
    key_usage: KeyUsage
    reason: str


class RefusedImport(msgspec.Struct, frozen=True):
    """A wrapping algorithm by which the token cannot import key material of a spec, and why."""

    wrapping_algorithm: WrappingAlgorithm
    key_spec: KeySpec
    reason: str


class HsmStatus(msgspec.Struct, frozen=True):
    """The hardware token of the settings."""

    key_protection: KeyProtection
    module: str
    token: TokenName
    capabilities: Capabilities
    domain_keys: Sequence[DomainKeyStatus]
    seals: Sequence[str]
    """The seals whose keys are in the token."""
    shared_seals: Sequence[str]
    """Those of them whose keys are shared."""
    other_objects: Sequence[OtherObject]
    refused_key_specs: Sequence[RefusedSpec]
    """What CreateKey refuses in full depth for want of something in the token."""
    refused_imports: Sequence[RefusedImport]
    """What GetParametersForImport refuses for the same reason; RSA_2048 stands for all sizes of RSA."""


def hsm_status(settings: Settings, clock: Clock, entropy: Entropy, unsealing: Unsealing) -> HsmStatus:
    """Return the state of the token, also before a first start.

    Raises SettingsError if no token is set, UnsealError or SealUnavailableError if it cannot be used, and what
    ``open_existing`` does.
    """
    folder = database_of(settings, clock, entropy).folder
    database = _named(settings, clock, entropy, unsealing)
    keys, seals = database.domain_keys, database.seals
    in_full_depth = FULL_DEPTH in {settings.key_protection, *map(protection_of, keys)}
    # It makes no file in a folder that no server has used.
    is_used = folder.database.exists() or folder.node_id.exists()
    token = ConfiguredToken(unsealing, folder.token_login if is_used else None)
    try:
        connection = token.require()
        capabilities = capabilities_of(token, str(settings.pkcs11_module))
        there = wrapping_keys_in(token)
        # In root depth keys are used in this process, so the token decides nothing about their specs.
        refused, refused_imports = (token.refused_specs(), token.refused_imports()) if in_full_depth else ({}, {})
    finally:
        token.close()
    named = {object_id_of(each) for each in keys} | seals.keys()
    return HsmStatus(
        key_protection=settings.key_protection,
        module=str(settings.pkcs11_module),
        token=connection.name,
        capabilities=capabilities,
        domain_keys=[
            DomainKeyStatus(
                each.scope,
                each.version,
                protection_of(each),
                object_id_of(each).hex(),
                there=each.object_id in there,
                shared=object_id_of(each) in database.shared,
            )
            for each in keys
        ],
        seals=[name for key, name in seals.items() if key in there],
        shared_seals=[name for key, name in seals.items() if key in there and key in database.shared],
        other_objects=other_objects(there, named, database.destructions, database.shared),
        refused_key_specs=[RefusedSpec(*place, reason) for place, reason in refused.items()],
        refused_imports=[RefusedImport(*place, reason) for place, reason in refused_imports.items()],
    )


class _Named(msgspec.Struct, frozen=True):
    """What the database names in the token, what it has noted to be destroyed, and what is shared; by object id."""

    domain_keys: Sequence[OpenDomainKey] = ()
    seals: Mapping[bytes, str] = {}
    destructions: Mapping[bytes, Destruction] = {}
    shared: Collection[bytes] = ()


def _named(settings: Settings, clock: Clock, entropy: Entropy, unsealing: Unsealing) -> _Named:
    if not database_of(settings, clock, entropy).is_there():
        return _Named()
    with closing(open_existing(settings, clock, entropy, unsealing=unsealing, every_region=True)) as opened:
        return _Named(
            opened.unsealed_keys.in_token,
            keys_of_seals(opened),
            destructions_of_objects(opened),
            shared_objects(opened.folder, opened.store),
        )
