"""Answers encrypted to attested recipients: the five operations, policies on what runs there, the audit record."""

import json
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest
from botocore.credentials import Credentials
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key
from mypy_boto3_kms.client import KMSClient

from accounts import last_record
from attestations import Hypervisor, issue, register, spki
from client_errors import error_code_of, error_of
from clients import ONCE, client_of, credentials_of, send, signed
from local_server import RunningServer, running_server
from openssl_cms import decrypt, describe
from policies import allow, document
from strongroom.clock import SystemClock

ROOT = "arn:aws:iam::000000000000:root"
KEY = rsa.generate_private_key(65537, 2048)
ENCLAVE = "kms:RecipientAttestation:"
TEN_MINUTES = 600_000
TEXT_OF_NO_DOCUMENT = {
    "KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256",
    "AttestationDocument": b64encode(b"no document").decode(),
}


class Attesting(NamedTuple):
    """A server that trusts a hypervisor."""

    server: RunningServer
    kms: KMSClient
    nitro: Hypervisor
    folder: Path

    def recipient(self, **changes: Any) -> Any:
        """Return an enclave as recipient, with what its document says otherwise."""
        return naming(self.nitro.document(spki(KEY), **changes))

    def open(self, message: bytes) -> bytes:
        """Return what is in a message to the recipient, as openssl reads it."""
        return decrypt(message, KEY, self.folder)

    def last_record(self) -> dict[str, Any]:
        """Return the last line of the audit log."""
        return last_record(self.server)

    def key_allowing(self, condition: dict[str, Any]) -> str:
        """Return a key that everyone may manage and encrypt with, but only some recipients may get data from."""
        manage = allow(ROOT, do=["kms:Encrypt", "kms:DescribeKey", "kms:PutKeyPolicy", "kms:ScheduleKeyDeletion"])
        use = allow(ROOT, do=["kms:Decrypt", "kms:GenerateDataKey"], when=condition)
        return self.kms.create_key(Policy=document(manage, use))["KeyMetadata"]["KeyId"]


def naming(attestation: bytes) -> Any:
    return {"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256", "AttestationDocument": attestation}


@pytest.fixture(scope="module")
def attesting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attesting]:
    folder = tmp_path_factory.mktemp("attesting")
    nitro = Hypervisor(SystemClock().now())
    (folder / "root.pem").write_bytes(nitro.root.pem)
    config = folder / "strongroom.toml"
    config.write_text(f'attestation-roots = ["{folder / "root.pem"}"]\n')
    with running_server(folder / "data", folder / "log", "--config", str(config)) as server:
        yield Attesting(server, client_of(server), nitro, folder)
        assert server.stop() == 0
    log = (folder / "log").read_text()
    assert "Traceback" not in log
    assert "ERROR" not in log


@pytest.fixture(scope="module")
def key(attesting: Attesting) -> str:
    return attesting.kms.create_key()["KeyMetadata"]["KeyId"]


def test_no_document_is_verified_for_callers_who_have_not_proved_who_they_are(attesting: Attesting, key: str) -> None:
    body = json.dumps({"KeyId": key, "KeySpec": "AES_256", "Recipient": TEXT_OF_NO_DOCUMENT}).encode()
    server = attesting.server
    known = signed(server, "GenerateDataKey", body)
    assert send(server, known).message.startswith("The attestation document is not valid")
    forged = Credentials(credentials_of(server).access_key, "x" * 40)
    unknown = Credentials("AKIA" + "A" * 16, "x" * 40)
    assert send(server, signed(server, "GenerateDataKey", body, credentials=forged)).error == (
        "InvalidSignatureException"
    )
    assert send(server, signed(server, "GenerateDataKey", body, credentials=unknown)).error == (
        "UnrecognizedClientException"
    )
    del known.headers["Authorization"]
    assert send(server, known).error == "MissingAuthenticationTokenException"


def test_decrypt(attesting: Attesting, key: str) -> None:
    for size in (1, 4096):
        secret = bytes(range(256)) * 16
        blob = attesting.kms.encrypt(KeyId=key, Plaintext=secret[:size])["CiphertextBlob"]
        answer: Any = attesting.kms.decrypt(CiphertextBlob=blob, Recipient=attesting.recipient())
        assert set(answer) == {"KeyId", "EncryptionAlgorithm", "CiphertextForRecipient", "ResponseMetadata"}
        assert attesting.open(answer["CiphertextForRecipient"]) == secret[:size]
        assert "aes-256-cbc" in describe(answer["CiphertextForRecipient"])


def test_decrypt_under_an_asymmetric_key(attesting: Attesting) -> None:
    made = attesting.kms.create_key(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]["KeyId"]
    algorithm: Any = {"KeyId": made, "EncryptionAlgorithm": "RSAES_OAEP_SHA_1"}
    blob = attesting.kms.encrypt(Plaintext=b"secret", **algorithm)["CiphertextBlob"]
    answer: Any = attesting.kms.decrypt(CiphertextBlob=blob, Recipient=attesting.recipient(), **algorithm)
    assert "Plaintext" not in answer
    assert attesting.open(answer["CiphertextForRecipient"]) == b"secret"


def test_generate_data_key(attesting: Attesting, key: str) -> None:
    answer: Any = attesting.kms.generate_data_key(KeyId=key, KeySpec="AES_256", Recipient=attesting.recipient())
    assert set(answer) == {"KeyId", "CiphertextBlob", "CiphertextForRecipient", "ResponseMetadata"}
    data_key = attesting.open(answer["CiphertextForRecipient"])
    assert len(data_key) == 32
    assert attesting.kms.decrypt(CiphertextBlob=answer["CiphertextBlob"])["Plaintext"] == data_key


def test_generate_data_key_pair(attesting: Attesting, key: str) -> None:
    for spec in ("ECC_NIST_P256", "RSA_4096"):
        pair: Any = {"KeyId": key, "KeyPairSpec": spec, "Recipient": attesting.recipient()}
        answer: Any = attesting.kms.generate_data_key_pair(**pair)
        assert "PrivateKeyPlaintext" not in answer
        private = attesting.open(answer["CiphertextForRecipient"])
        assert attesting.kms.decrypt(CiphertextBlob=answer["PrivateKeyCiphertextBlob"])["Plaintext"] == private
        loaded = load_der_private_key(private, None)
        assert loaded.public_key() == load_der_public_key(answer["PublicKey"])


def test_generate_random(attesting: Attesting) -> None:
    answers = [attesting.kms.generate_random(NumberOfBytes=32, Recipient=attesting.recipient()) for _ in range(2)]
    for answer in answers:
        assert set(answer) == {"CiphertextForRecipient", "ResponseMetadata"}
    first, second = (attesting.open(answer["CiphertextForRecipient"]) for answer in answers)
    assert len(first) == len(second) == 32
    assert first != second


def test_derive_shared_secret(attesting: Attesting) -> None:
    made = attesting.kms.create_key(KeySpec="ECC_NIST_P384", KeyUsage="KEY_AGREEMENT")["KeyMetadata"]["KeyId"]
    peer = ec.generate_private_key(ec.SECP384R1())
    answer: Any = attesting.kms.derive_shared_secret(
        KeyId=made, KeyAgreementAlgorithm="ECDH", PublicKey=spki(peer), Recipient=attesting.recipient()
    )
    assert "SharedSecret" not in answer
    ours = load_der_public_key(attesting.kms.get_public_key(KeyId=made)["PublicKey"])
    assert isinstance(ours, ec.EllipticCurvePublicKey)
    assert attesting.open(answer["CiphertextForRecipient"]) == peer.exchange(ec.ECDH(), ours)


# --- policies


def test_a_policy_on_the_image_of_an_enclave(attesting: Attesting) -> None:
    image = {"StringEqualsIgnoreCase": {f"{ENCLAVE}ImageSha384": register(0).hex().upper()}}
    made = attesting.key_allowing(image)
    blob = attesting.kms.encrypt(KeyId=made, Plaintext=b"secret")["CiphertextBlob"]
    answer: Any = attesting.kms.decrypt(CiphertextBlob=blob, Recipient=attesting.recipient())
    assert attesting.open(answer["CiphertextForRecipient"]) == b"secret"
    other_image = attesting.recipient(pcrs={0: register(1), 1: register(0)})
    for recipient in ({"Recipient": other_image}, {}):
        assert error_code_of(attesting.kms.decrypt, CiphertextBlob=blob, **recipient) == "AccessDeniedException"
    tpm = naming(attesting.nitro.tpm_document(spki(KEY)))
    assert error_code_of(attesting.kms.decrypt, CiphertextBlob=blob, Recipient=tpm) == "AccessDeniedException"


@pytest.mark.parametrize("index", [0, 3, 8, 15])
def test_a_policy_on_a_register_of_an_enclave(attesting: Attesting, index: int) -> None:
    # The value is lower-case hex, and the name of the condition key is of no case.
    made = attesting.key_allowing({"StringEquals": {f"{ENCLAVE.upper()}PCR{index}": register(index).hex()}})
    data_key: Any = {"KeyId": made, "KeySpec": "AES_128"}
    assert attesting.kms.generate_data_key(Recipient=attesting.recipient(), **data_key)["CiphertextForRecipient"]
    registers = {each: register(each) for each in range(16) if each != index}
    for changed in (registers, registers | {index: register(17)}):
        recipient = attesting.recipient(pcrs=changed)
        assert (
            error_code_of(attesting.kms.generate_data_key, Recipient=recipient, **data_key) == "AccessDeniedException"
        )
    assert error_code_of(attesting.kms.generate_data_key, **data_key) == "AccessDeniedException"


def test_a_policy_on_a_register_of_a_nitro_tpm(attesting: Attesting) -> None:
    made = attesting.key_allowing({"StringEquals": {f"{ENCLAVE}NitroTPMPCR4": register(4).hex()}})
    data_key: Any = {"KeyId": made, "KeySpec": "AES_256"}
    tpm = naming(attesting.nitro.tpm_document(spki(KEY)))
    assert attesting.kms.generate_data_key(Recipient=tpm, **data_key)["CiphertextForRecipient"]
    # An enclave's register of that number is another one.
    recipient = attesting.recipient()
    assert error_code_of(attesting.kms.generate_data_key, Recipient=recipient, **data_key) == "AccessDeniedException"


def test_an_identity_policy_for_random_bytes(attesting: Attesting) -> None:
    keys = credentials_of(attesting.server)
    root: Any = {"region_name": "us-east-1", "endpoint_url": attesting.server.endpoint, "config": ONCE}
    iam = boto3.client("iam", aws_access_key_id=keys.access_key, aws_secret_access_key=keys.secret_key, **root)
    iam.create_user(UserName="enclave")
    attested = {"StringEquals": {f"{ENCLAVE}PCR8": register(8).hex()}}
    policy = document(allow(do="kms:GenerateRandom", when=attested))
    iam.put_user_policy(UserName="enclave", PolicyName="attested", PolicyDocument=policy)
    made = iam.create_access_key(UserName="enclave")["AccessKey"]
    kms = boto3.client(
        "kms", aws_access_key_id=made["AccessKeyId"], aws_secret_access_key=made["SecretAccessKey"], **root
    )
    assert kms.generate_random(NumberOfBytes=8, Recipient=attesting.recipient())["CiphertextForRecipient"]
    assert error_code_of(kms.generate_random, NumberOfBytes=8) == "AccessDeniedException"
    other = attesting.recipient(pcrs={8: register(9)})
    assert error_code_of(kms.generate_random, NumberOfBytes=8, Recipient=other) == "AccessDeniedException"


# --- refusals


def test_roots_that_cannot_be_read_end_the_start(tmp_path: Path) -> None:
    config = tmp_path / "strongroom.toml"
    config.write_text('listen = "127.0.0.1:0"\nattestation-roots = ["missing.pem"]\n')
    command = [sys.executable, "-m", "strongroom", "serve", "--data", str(tmp_path / "data"), "--config", str(config)]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert refused.returncode == 1
    assert f"`{tmp_path}/missing.pem` in attestation-roots cannot be read: No such file or directory" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_documents_that_prove_nothing(attesting: Attesting, key: str) -> None:
    nitro = attesting.nitro
    stranger = Hypervisor(nitro.now)
    expired = issue("signer", nitro.instance, nitro.now, authority=False, ends=-1)
    made_at = int(nitro.now * 1000)
    for attestation, says in (
        (stranger.document(spki(KEY)), "does not lead to a trusted root"),
        (nitro.document(spki(KEY), certificate=expired.der), "not valid now"),
        (nitro.document(spki(KEY), timestamp=made_at - TEN_MINUTES), "too old"),
        (nitro.document(spki(KEY), timestamp=made_at + TEN_MINUTES), "in the future"),
        (nitro.document(spki(KEY)).replace(register(0), register(1)), "signature does not verify"),
        (nitro.document(spki(KEY), public_key=None), "no public key"),
        (b"\x81" * 262_144, "too large"),
        (b"\x81" * 16_384, "not CBOR"),
    ):
        refusal = error_of(attesting.kms.generate_data_key, KeyId=key, KeySpec="AES_256", Recipient=naming(attestation))
        assert refusal["Code"] == "ValidationException"
        assert says in refusal["Message"]
    assert error_code_of(attesting.kms.generate_random, NumberOfBytes=1, Recipient=naming(bytes(262_145))) == (
        "ValidationException"
    )


def test_a_document_that_proves_nothing_fulfils_no_condition(attesting: Attesting) -> None:
    unequal = {"StringNotEquals": {f"{ENCLAVE}ImageSha384": register(1).hex()}}
    made = attesting.key_allowing(unequal)
    forged = naming(Hypervisor(attesting.nitro.now).document(spki(KEY)))
    data_key: Any = {"KeyId": made, "KeySpec": "AES_256"}
    assert attesting.kms.generate_data_key(Recipient=attesting.recipient(), **data_key)["CiphertextForRecipient"]
    assert error_code_of(attesting.kms.generate_data_key, Recipient=forged, **data_key) == "ValidationException"


def test_a_recipient_is_named_whole(attesting: Attesting) -> None:
    whole = attesting.recipient()
    for member in whole:
        half = {member: whole[member]}
        assert error_code_of(attesting.kms.generate_random, NumberOfBytes=1, Recipient=half) == "ValidationException"
    assert error_code_of(attesting.kms.generate_random, NumberOfBytes=1, Recipient={}) == "ValidationException"
    other = whole | {"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_1"}
    assert error_of(attesting.kms.generate_random, NumberOfBytes=1, Recipient=other)["Message"] == (
        "1 validation error detected: Value 'RSAES_OAEP_SHA_1' at 'recipient.keyEncryptionAlgorithm' failed to satisfy "
        "constraint: Member must satisfy enum value set: [RSAES_OAEP_SHA_256]"
    )


def test_a_dry_run_looks_at_the_document_too(attesting: Attesting, key: str) -> None:
    data_key: Any = {"KeyId": key, "KeySpec": "AES_256", "DryRun": True}
    assert error_code_of(attesting.kms.generate_data_key, Recipient=attesting.recipient(), **data_key) == (
        "DryRunOperationException"
    )
    assert error_code_of(attesting.kms.generate_data_key, Recipient=naming(b"x"), **data_key) == "ValidationException"


# --- the record


def test_the_record_tells_what_the_recipient_is(attesting: Attesting, key: str) -> None:
    recipient = attesting.recipient()
    attesting.kms.generate_data_key(KeyId=key, KeySpec="AES_256", Recipient=recipient)
    record = attesting.last_record()
    assert record["additionalEventData"] == {
        "keyMaterialId": attesting.kms.describe_key(KeyId=key)["KeyMetadata"]["CurrentKeyMaterialId"],
        "recipient": {
            "attestationDocumentModuleId": "i-1234567890abcdef0-enc0123456789abcdef",
            "attestationDocumentEnclaveImageDigest": b64encode(register(0)).decode(),
            **{
                f"attestationDocumentEnclavePCR{index}": b64encode(register(index)).decode()
                for index in (1, 2, 3, 4, 8)
            },
        },
    }
    assert record["requestParameters"] == {"keyId": key, "keySpec": "AES_256"}
    assert b64encode(recipient["AttestationDocument"]).decode() not in json.dumps(record)


def test_the_record_of_a_nitro_tpm_and_of_a_refusal(attesting: Attesting) -> None:
    made = attesting.key_allowing({"StringEquals": {f"{ENCLAVE}NitroTPMPCR4": "0" * 96}})
    tpm = naming(attesting.nitro.tpm_document(spki(KEY), nitrotpm_pcrs={4: register(4), 12: register(12)}))
    assert error_code_of(attesting.kms.generate_data_key, KeyId=made, KeySpec="AES_256", Recipient=tpm) == (
        "AccessDeniedException"
    )
    additional = attesting.last_record()["additionalEventData"]
    assert additional["decision"]["allowed"] is False
    assert additional["recipient"] == {
        "attestationDocumentModuleId": "i-1234567890abcdef0-tpm0000000000000000",
        "attestationDocumentNitroTPMPCR4": b64encode(register(4)).decode(),
    }
    assert (
        error_code_of(attesting.kms.generate_random, NumberOfBytes=1, Recipient=naming(b"x")) == "ValidationException"
    )
    assert "recipient" not in attesting.last_record().get("additionalEventData", {})
