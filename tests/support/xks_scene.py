"""A back end of external key stores over a proxy of the tests, and as a key back end that the contract knows."""

from collections.abc import Collection
from typing import cast

from msgspec.structs import replace

from strongroom.clock import SystemClock
from strongroom.crypto.backing_keys import BackingKey, SymmetricKey
from strongroom.crypto.binding import custom_key_store_binding
from strongroom.crypto.external_keys import ExternalKey, KeyUser
from strongroom.crypto.material import ImportedMaterial, MaterialBinding, MaterialOwner, WrappedMaterial, WrappingKey
from strongroom.crypto.service_secrets import ServiceSecrets
from strongroom.crypto.software.key_backend import SoftwareKeyBackend
from strongroom.crypto.xks.allowed_hosts import AllowedHosts
from strongroom.crypto.xks.key_backend import ExternalKeyBackend
from strongroom.crypto.xks.proxies import XksProxies
from strongroom.keys.custom_key_stores import (
    ConnectionState,
    CustomKeyStore,
    CustomKeyStoreType,
    XksProxy,
    XksProxyConnectivity,
)
from strongroom.keys.external_keys import external_material_id, external_token
from strongroom.keys.specs import KeySpec, KeyUsage
from strongroom.keys.wrapping import WrappingAlgorithm, WrappingKeySpec
from xks_stub import ACCESS_KEY_ID, SECRET, XksStub

ACCOUNT, REGION, STORE_ID = "111122223333", "us-east-1", "cks-1234567890abcdef0"
USER = KeyUser("Encrypt", "request", "arn:aws:iam::111122223333:root")


class XksScene:
    """A back end, and the store that it finds."""

    def __init__(self, stub: XksStub, default: SoftwareKeyBackend, secrets: ServiceSecrets) -> None:
        self.stub = stub
        self.default = default
        self.store: CustomKeyStore | None = CustomKeyStore(
            account=ACCOUNT,
            region=REGION,
            store_id=STORE_ID,
            name="store",
            type=CustomKeyStoreType.EXTERNAL_KEY_STORE,
            created_at=1.0,
            wrapped_secret=secrets.wrap(SECRET.encode(), custom_key_store_binding(STORE_ID)),
            state=ConnectionState.CONNECTED,
            xks=XksProxy(
                connectivity=XksProxyConnectivity.PUBLIC_ENDPOINT,
                access_key_id=ACCESS_KEY_ID,
                uri_endpoint="https://proxy.example.com",
                uri_path="/kms/xks/v1",
            ),
        )
        self.proxies = XksProxies(AllowedHosts(stub.hosts), secrets, SystemClock(), patience=10.0, at_once=4)
        self.backend = ExternalKeyBackend(default, self.proxies, self._find)

    def _find(self, account: str, region: str, store_id: str) -> CustomKeyStore | None:
        return self.store if (account, region, store_id) == (ACCOUNT, REGION, STORE_ID) else None

    def token(self, external_id: str) -> bytes:
        return external_token(STORE_ID, external_id, self.backend.generate(owner(external_id)))

    def loaded(self, token: bytes, external_id: str) -> ExternalKey:
        return cast("ExternalKey", self.backend.load(token, owner(external_id)))

    def key(self, external_id: str) -> SymmetricKey:
        return self.loaded(self.token(external_id), external_id).used_by(USER)


def owner(external_id: str) -> MaterialBinding:
    material_id = external_material_id(STORE_ID, external_id)
    return MaterialBinding(
        ACCOUNT, REGION, "1234abcd-12ab-34cd-56ef-1234567890ab", material_id, KeySpec.SYMMETRIC_DEFAULT
    )


class NamedExternally:
    """The back end, for callers without external keys: one is made for each id of material."""

    blocks = True
    blocks_when_loaded = True

    def __init__(self, scene: XksScene) -> None:
        self._scene = scene
        self._backend = scene.backend

    def require_spec(self, spec: KeySpec, usage: KeyUsage, region: str) -> None:
        self._backend.require_spec(spec, usage, region)

    @property
    def keeps_material(self) -> bool:
        return self._backend.keeps_material

    def token_for(self, owner: MaterialBinding) -> None:
        """Return None: the token contains the backing key."""

    def generate(self, owner: MaterialBinding) -> bytes:
        if owner.material_id not in self._scene.stub.keys:
            self._scene.stub.new_key(owner.material_id)
        return external_token(STORE_ID, owner.material_id, self._backend.generate(_named(owner)))

    def load(self, token: bytes, owner: MaterialBinding) -> BackingKey:
        return cast("BackingKey", cast("ExternalKey", self._backend.load(token, _named(owner))).used_by(USER))

    def destroy(self, token: bytes, owner: MaterialBinding) -> None:
        self._backend.destroy(token, _named(owner))

    def replicate(self, token: bytes, owner: MaterialBinding, region: str) -> bytes:
        return self._backend.replicate(token, _named(owner), region)

    def rewrap(self, token: bytes, owner: MaterialBinding) -> bytes:
        return self._backend.rewrap(token, _named(owner))

    def wrapping_key(self, spec: WrappingKeySpec, algorithm: WrappingAlgorithm, owner: MaterialOwner) -> WrappingKey:
        return self._backend.wrapping_key(spec, algorithm, owner)

    def import_material(
        self, wrapped: WrappedMaterial, owner: MaterialOwner, known_ids: Collection[str] = ()
    ) -> ImportedMaterial:
        return self._backend.import_material(wrapped, owner, known_ids)


def _named(owner: MaterialBinding) -> MaterialBinding:
    return replace(owner, material_id=external_material_id(STORE_ID, owner.material_id))
