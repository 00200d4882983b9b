"""The AWS Encryption SDK for Python, version 4, with keyrings and with the older master key providers."""

from typing import Any

import boto3
import pytest
from aws_cryptographic_material_providers.mpl import AwsCryptographicMaterialProviders
from aws_cryptographic_material_providers.mpl.config import MaterialProvidersConfig
from aws_cryptographic_material_providers.mpl.models import (
    CreateAwsKmsEcdhKeyringInput,
    CreateAwsKmsKeyringInput,
    CreateAwsKmsRsaKeyringInput,
    KmsEcdhStaticConfigurationsKmsPrivateKeyToStaticPublicKey,
    KmsPrivateKeyToStaticPublicKeyInput,
)
from aws_cryptography_primitives.smithygenerated.aws_cryptography_primitives.models import ECDHCurveSpec
from aws_encryption_sdk import CommitmentPolicy, EncryptionSDKClient, StrictAwsKmsMasterKeyProvider
from aws_encryption_sdk.exceptions import AWSEncryptionSDKClientError
from aws_encryption_sdk.identifiers import AlgorithmSuite
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from mypy_boto3_kms.client import KMSClient

from client_errors import error_code_of

MESSAGE = bytes(range(256)) * 1000
CONTEXT = {"tenant": "blue", "purpose": "backup"}

pytestmark = pytest.mark.usefixtures("_pointed_at_us")


@pytest.fixture
def sdk() -> Any:
    return EncryptionSDKClient(commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT)


@pytest.fixture
def keyrings() -> Any:
    return AwsCryptographicMaterialProviders(config=MaterialProvidersConfig())


def _new_key(kms: KMSClient, **arguments: Any) -> str:
    return kms.create_key(**arguments)["KeyMetadata"]["Arn"]


def _under(keyrings: Any, arn: str) -> Any:
    return keyrings.create_aws_kms_keyring(CreateAwsKmsKeyringInput(kms_key_id=arn, kms_client=boto3.client("kms")))


def test_a_message_opens_under_its_key_and_encryption_context(kms: KMSClient, sdk: Any, keyrings: Any) -> None:
    arn = _new_key(kms)
    keyring, stranger = _under(keyrings, arn), _under(keyrings, _new_key(kms))
    ciphertext, header = sdk.encrypt(source=MESSAGE, keyring=keyring, encryption_context=CONTEXT)
    assert header.encryption_context.items() >= CONTEXT.items()
    assert sdk.decrypt(source=ciphertext, keyring=keyring, encryption_context=CONTEXT)[0] == MESSAGE
    with pytest.raises(AWSEncryptionSDKClientError, match="Encryption context does not match"):
        sdk.decrypt(source=ciphertext, keyring=keyring, encryption_context={"tenant": "red"})
    with pytest.raises(AWSEncryptionSDKClientError, match="Unable to decrypt data key"):
        sdk.decrypt(source=ciphertext, keyring=stranger)
    # The service holds the context too, not only the client.
    (data_key,) = header.encrypted_data_keys
    bound: dict[str, Any] = {"CiphertextBlob": data_key.encrypted_data_key}
    assert len(kms.decrypt(**bound, EncryptionContext=header.encryption_context)["Plaintext"]) == 32
    assert error_code_of(kms.decrypt, **bound, EncryptionContext=CONTEXT) == "InvalidCiphertextException"
    kms.disable_key(KeyId=arn)
    with pytest.raises(AWSEncryptionSDKClientError, match="No Configured KMS Key was able to decrypt"):
        sdk.decrypt(source=ciphertext, keyring=keyring)


def test_keyrings_and_master_key_providers_read_each_other(kms: KMSClient, sdk: Any, keyrings: Any) -> None:
    one, other = _new_key(kms), _new_key(kms)
    both = StrictAwsKmsMasterKeyProvider(key_ids=[one, other])
    by_provider, header = sdk.encrypt(source=MESSAGE, key_provider=both, encryption_context=CONTEXT)
    assert len(header.encrypted_data_keys) == 2
    for arn in (one, other):
        assert sdk.decrypt(source=by_provider, keyring=_under(keyrings, arn))[0] == MESSAGE
    by_keyring, _ = sdk.encrypt(source=MESSAGE, keyring=_under(keyrings, one), encryption_context=CONTEXT)
    assert sdk.decrypt(source=by_keyring, key_provider=both)[0] == MESSAGE


def test_an_rsa_keyring_encrypts_without_us_and_decrypts_with_us(kms: KMSClient, sdk: Any, keyrings: Any) -> None:
    arn = _new_key(kms, KeySpec="RSA_3072", KeyUsage="ENCRYPT_DECRYPT")
    public = load_der_public_key(kms.get_public_key(KeyId=arn)["PublicKey"])
    keyring = keyrings.create_aws_kms_rsa_keyring(
        CreateAwsKmsRsaKeyringInput(
            public_key=public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            kms_key_id=arn,
            encryption_algorithm="RSAES_OAEP_SHA_256",
            kms_client=boto3.client("kms"),
        )
    )
    # RSA keyrings need a suite without a signature (AWS Encryption SDK Developer Guide, "AWS KMS RSA keyrings").
    suite = AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY
    ciphertext, _ = sdk.encrypt(source=MESSAGE, keyring=keyring, encryption_context=CONTEXT, algorithm=suite)
    assert sdk.decrypt(source=ciphertext, keyring=keyring, encryption_context=CONTEXT)[0] == MESSAGE


def test_two_parties_agree_on_a_key_with_ecdh_keyrings(kms: KMSClient, sdk: Any, keyrings: Any) -> None:
    """Each side holds a KMS key; the wrapping key comes from DeriveSharedSecret on both."""
    alice, bob = (_new_key(kms, KeySpec="ECC_NIST_P384", KeyUsage="KEY_AGREEMENT") for _ in range(2))
    publics = {arn: kms.get_public_key(KeyId=arn)["PublicKey"] for arn in (alice, bob)}

    def between(sender: str, recipient: str) -> Any:
        keys = KmsPrivateKeyToStaticPublicKeyInput(
            sender_kms_identifier=sender, sender_public_key=publics[sender], recipient_public_key=publics[recipient]
        )
        return keyrings.create_aws_kms_ecdh_keyring(
            CreateAwsKmsEcdhKeyringInput(
                curve_spec=ECDHCurveSpec.ECC_NIST_P384,
                kms_client=boto3.client("kms"),
                key_agreement_scheme=KmsEcdhStaticConfigurationsKmsPrivateKeyToStaticPublicKey(keys),
            )
        )

    ciphertext, _ = sdk.encrypt(source=MESSAGE, keyring=between(alice, bob), encryption_context=CONTEXT)
    assert sdk.decrypt(source=ciphertext, keyring=between(bob, alice), encryption_context=CONTEXT)[0] == MESSAGE
