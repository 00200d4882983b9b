"""An Ethereum account whose private key is a KMS key: what wallets and validators do with ECC_SECG_P256K1."""

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from eth_hash.auto import keccak
from eth_keys.datatypes import PublicKey, Signature
from mypy_boto3_kms.client import KMSClient

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
TEXT = b"transfer nothing"
PERSONAL = b"\x19Ethereum Signed Message:\n%d%b" % (len(TEXT), TEXT)
"""EIP-191, version 0x45."""


def test_the_address_is_recovered_from_a_signature(kms: KMSClient) -> None:
    key_id = kms.create_key(KeySpec="ECC_SECG_P256K1", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    point = kms.get_public_key(KeyId=key_id)["PublicKey"][-64:]
    address = PublicKey(point).to_checksum_address()
    digest = keccak(PERSONAL)
    for _ in range(8):
        made = kms.sign(KeyId=key_id, Message=digest, MessageType="DIGEST", SigningAlgorithm="ECDSA_SHA_256")
        r, s = decode_dss_signature(made["Signature"])
        # Which half s lies in is left to chance; Ethereum wants the lower (EIP-2), and asks its clients for it.
        s = min(s, ORDER - s)
        candidates = [Signature(vrs=(v, r, s)).recover_public_key_from_msg_hash(digest) for v in (0, 1)]
        assert [each.to_checksum_address() for each in candidates].count(address) == 1
