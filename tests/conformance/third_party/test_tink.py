"""Tink's client for AWS KMS: encryption under a KMS key, envelope encryption, and a keyset wrapped by one."""

import json

import boto3
import pytest
import tink
from mypy_boto3_kms.client import KMSClient
from tink import aead
from tink.integration import awskms

MESSAGE = bytes(range(256)) * 100

pytestmark = pytest.mark.usefixtures("_pointed_at_us")


@pytest.fixture
def remote(kms: KMSClient) -> aead.Aead:
    uri = "aws-kms://" + kms.create_key()["KeyMetadata"]["Arn"]
    return awskms.new_client(boto3_client=boto3.client("kms"), key_uri=uri).get_aead(uri)


def test_associated_data_becomes_the_encryption_context(kms: KMSClient, remote: aead.Aead) -> None:
    ciphertext = remote.encrypt(b"secret", b"bound")
    assert remote.decrypt(ciphertext, b"bound") == b"secret"
    # Tink's documented name for it.
    context = {"associatedData": b"bound".hex()}
    assert kms.decrypt(CiphertextBlob=ciphertext, EncryptionContext=context)["Plaintext"] == b"secret"
    for other in (b"", b"another"):
        with pytest.raises(tink.TinkError):
            remote.decrypt(ciphertext, other)


def test_envelope_encryption(remote: aead.Aead) -> None:
    aead.register()
    envelope = aead.KmsEnvelopeAead(aead.aead_key_templates.AES256_GCM, remote)
    ciphertext = envelope.encrypt(MESSAGE, b"bound")
    assert envelope.decrypt(ciphertext, b"bound") == MESSAGE
    with pytest.raises(tink.TinkError):
        envelope.decrypt(ciphertext, b"another")


def test_a_keyset_wrapped_by_a_kms_key(remote: aead.Aead) -> None:
    aead.register()
    keyset = tink.new_keyset_handle(aead.aead_key_templates.AES256_GCM)
    wrapped = tink.json_proto_keyset_format.serialize_encrypted(keyset, remote, b"keyset")
    assert set(json.loads(wrapped)) >= {"encryptedKeyset"}
    again = tink.json_proto_keyset_format.parse_encrypted(wrapped, remote, b"keyset")
    ciphertext = keyset.primitive(aead.Aead).encrypt(MESSAGE, b"")
    assert again.primitive(aead.Aead).decrypt(ciphertext, b"") == MESSAGE
