"""A development server with a seed file of local-kms, and LocalStack's tags, as boto3 sees them."""

import base64
import json
from pathlib import Path

from strongroom.testing import server

VECTORS = Path(__file__).parents[1] / "vectors" / "local-kms"
MADE = json.loads((VECTORS / "made_by_local_kms.json").read_text())["ciphertexts"]


def test_a_reset_brings_the_keys_of_the_seed_again() -> None:
    blob, plaintext = (base64.b64decode(MADE[0][name]) for name in ("blob", "plaintext"))
    chosen = [
        {"TagKey": "_custom_id_", "TagValue": "00000000-0000-4000-8000-000000000001"},
        {"TagKey": "_custom_key_material_", "TagValue": base64.b64encode(bytes(range(32))).decode()},
    ]
    with server(seed=VECTORS / "seed.yaml") as dev:
        kms = dev.account.client()
        assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == plaintext
        assert kms.create_key(Tags=chosen)["KeyMetadata"]["KeyId"] == chosen[0]["TagValue"]
        own = kms.encrypt(KeyId=chosen[0]["TagValue"], Plaintext=b"kept")["CiphertextBlob"]
        kms.delete_alias(AliasName="alias/orders")
        dev.reset()
        assert kms.describe_key(KeyId="alias/orders")["KeyMetadata"]["Description"] == "The key of the orders"
        assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == plaintext
        kms.create_key(Tags=chosen)
        assert kms.decrypt(CiphertextBlob=own)["Plaintext"] == b"kept"
