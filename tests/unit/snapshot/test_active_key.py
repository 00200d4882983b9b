"""An active key without key material has no backing key, even if its key state was not checked."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from keys_builder import make_key, material
from strongroom.crypto.key_backends import KeyBackends
from strongroom.keys.key_policy import default_policy
from strongroom.keys.kms_key import KeyMaterial, KmsKey
from strongroom.keys.specs import Origin
from strongroom.snapshot.active_key import ActiveKey


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
        use(ActiveKey(key, key_backends))
