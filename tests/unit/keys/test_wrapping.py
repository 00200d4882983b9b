"""Which algorithms can wrap which key material, compared with a second transcript of the developer guide's rules."""

import pytest
from msgspec.structs import replace

from keys_builder import make_key
from strongroom.errors import UnsupportedOperationException
from strongroom.keys.specs import KeySpec, Origin
from strongroom.keys.wrapping import (
    WrappingAlgorithm,
    WrappingKeySpec,
    require_external,
    require_importable_spec,
    require_wrapping,
)

OAEP = {"RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"}
KEY_WRAP = {"RSA_AES_KEY_WRAP_SHA_1", "RSA_AES_KEY_WRAP_SHA_256"}
RSA = {"RSA_2048", "RSA_3072", "RSA_4096"}
CURVES = {"ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521", "ECC_SECG_P256K1", "ECC_NIST_EDWARDS25519"}
SECRETS = {"SYMMETRIC_DEFAULT", "HMAC_224", "HMAC_256", "HMAC_384", "HMAC_512"}


def offered(spec: str, algorithm: str, wrapping_key: str) -> bool:
    if wrapping_key == "SM2":
        return False
    if algorithm in OAEP:
        return spec in CURVES | SECRETS and (spec, wrapping_key) != ("ECC_NIST_P521", "RSA_2048")
    return algorithm in KEY_WRAP and spec in RSA | CURVES


@pytest.mark.parametrize("spec", KeySpec)
def test_every_combination_of_algorithm_and_key_spec(spec: KeySpec) -> None:
    for algorithm in WrappingAlgorithm:
        for wrapping_key in WrappingKeySpec:
            if offered(spec, algorithm, wrapping_key):
                require_wrapping(spec, algorithm, wrapping_key)
                continue
            with pytest.raises(UnsupportedOperationException):
                require_wrapping(spec, algorithm, wrapping_key)


@pytest.mark.parametrize("spec", KeySpec)
def test_post_quantum_keys_and_sm2_are_not_imported(spec: KeySpec) -> None:
    if spec in RSA | CURVES | SECRETS:
        require_importable_spec(spec)
        return
    with pytest.raises(UnsupportedOperationException):
        require_importable_spec(spec)


def test_only_keys_of_origin_external_can_import_material() -> None:
    require_external(make_key(origin=Origin.EXTERNAL))
    for origin in set(Origin) - {Origin.EXTERNAL}:
        with pytest.raises(UnsupportedOperationException, match=f"origin is {origin} which is not valid"):
            require_external(replace(make_key(), origin=origin))
