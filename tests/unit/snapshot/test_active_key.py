"""An active key without key material has no backing key, even if its key state was not checked."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from keys_builder import make_key, material
from local_deployment import entropy
from strongroom.crypto.key_backends import KeyBackends
from strongroom.crypto.software.key_backend import SoftwareKeyBackend
from strongroom.errors import KMSInvalidStateException
from strongroom.keys.key_policy import default_policy
from strongroom.keys.kms_key import KeyMaterial, KmsKey
from strongroom.keys.specs import KeySpec, Origin
from strongroom.snapshot.active_key import ActiveKey
from strongroom.store.quarantine import Quarantine
from token_backend import TokenBackend


def key_of(*materials: KeyMaterial) -> KmsKey:
    return replace(
        make_key(origin=Origin.EXTERNAL), policy=default_policy("arn:aws:iam::111122223333:root"), materials=materials
    )


@pytest.mark.parametrize("key", [key_of(), key_of(replace(material(1), token=None))], ids=["never imported", "deleted"])
@pytest.mark.parametrize("use", [ActiveKey.current, ActiveKey.mac_key, ActiveKey.public_key])
def test_a_key_without_material_has_no_backing_key(
    key_backends: KeyBackends, key: KmsKey, use: Callable[[ActiveKey], object]
) -> None:
    with pytest.raises(LookupError):
        use(ActiveKey(key, key_backends, Quarantine()))


def test_a_key_blocks_if_its_back_end_waits_for_hardware(key_backend: SoftwareKeyBackend) -> None:
    backends = KeyBackends(key_backend, {"cks-1": TokenBackend(entropy)})
    policy = default_policy("arn:aws:iam::111122223333:root")
    plain = replace(make_key(), policy=policy)
    found = {
        store_id: ActiveKey(replace(plain, custom_key_store_id=store_id), backends, Quarantine())
        for store_id in (None, "cks-1", "cks-2")
    }
    assert {store_id: active.blocks for store_id, active in found.items()} == {
        None: False,
        "cks-1": True,
        "cks-2": False,
    }
    assert not any(active.is_slow for active in found.values())
    assert ActiveKey(replace(plain, spec=KeySpec.ECC_SECG_P256K1), backends, Quarantine()).is_slow
    with pytest.raises(KMSInvalidStateException):
        found["cks-2"].current()
