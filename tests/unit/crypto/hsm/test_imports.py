"""Imports into SoftHSM and the soft token of NSS: every wrapping algorithm, every kind of material, invalid input."""

import os

from msgspec.structs import replace

from full_depth import Module, full_depth
from key_import import wrap
from strongroom.crypto.material import MaterialOwner, WrappedMaterial
from strongroom.errors import UnsupportedOperationException
from strongroom.keys.specs import KeySpec
from strongroom.keys.wrapping import WrappingAlgorithm, WrappingKeySpec

OWNER = MaterialOwner("111122223333", "us-east-1", "1234abcd-12ab-34cd-56ef-1234567890ab", KeySpec.SYMMETRIC_DEFAULT)
MODULES: tuple[Module, ...] = ("softhsm", "nss")
SHA_1 = (WrappingAlgorithm.RSAES_OAEP_SHA_1, WrappingAlgorithm.RSA_AES_KEY_WRAP_SHA_1)
SHA_256 = (WrappingAlgorithm.RSAES_OAEP_SHA_256, WrappingAlgorithm.RSA_AES_KEY_WRAP_SHA_256)
CURVES = [KeySpec.ECC_NIST_P256, KeySpec.ECC_NIST_P384, KeySpec.ECC_NIST_P521, KeySpec.ECC_SECG_P256K1]
SECRETS = [KeySpec.SYMMETRIC_DEFAULT, KeySpec.HMAC_224, KeySpec.HMAC_256, KeySpec.HMAC_384, KeySpec.HMAC_512]


def test_all():
    import time

    from key_import import private_key

    for m in MODULES:
        with full_depth(m) as d:
            for spec in [*SECRETS, *CURVES, KeySpec.RSA_2048, KeySpec.RSA_3072]:
                for alg in (*SHA_1, *SHA_256):
                    if (("KEY_WRAP" in alg) and spec in SECRETS) or ("OAEP" in alg and spec.startswith("RSA")):
                        continue
                    wk = WrappingKeySpec.RSA_3072 if spec == KeySpec.ECC_NIST_P521 else WrappingKeySpec.RSA_2048
                    o = replace(OWNER, spec=spec)
                    t = time.time()
                    try:
                        pair = d.backend.wrapping_key(wk, alg, o)
                    except UnsupportedOperationException as e:
                        print(m, spec, alg, "refused", e.message, round(time.time() - t, 2))
                        continue
                    t1 = time.time()
                    mat = {
                        KeySpec.SYMMETRIC_DEFAULT: 32,
                        KeySpec.HMAC_224: 28,
                        KeySpec.HMAC_256: 32,
                        KeySpec.HMAC_384: 48,
                        KeySpec.HMAC_512: 64,
                    }.get(spec)
                    mat = os.urandom(mat) if mat else private_key(spec)
                    made = d.backend.import_material(
                        WrappedMaterial(pair.token, alg, wrap(pair.public_key, alg, mat)), o
                    )
                    print(
                        m,
                        spec,
                        alg,
                        "ok",
                        round(t1 - t, 2),
                        round(time.time() - t1, 3),
                        len(pair.token),
                        len(made.token),
                    )
    assert 0
