"""Calls of the KMS API, signed by botocore, and how their answers are checked."""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key
from mypy_boto3_kms import KMSClient
from mypy_boto3_kms.literals import KeySpecType

from contender import PREPARED, Call
from load import Reply, Request

Json = dict[str, Any]
Check = Callable[[Json, Json], bool]

REGION = "us-east-1"
CONTEXT = {"department": "payroll", "year": "2026"}
PLAINTEXTS = [b"%064d" % number for number in range(PREPARED)]
# A blob of each costs a call of its own beforehand.
SEALED = 50

SIGNERS: dict[str, tuple[KeySpecType, str]] = {
    "Sign RSA-2048": ("RSA_2048", "RSASSA_PKCS1_V1_5_SHA_256"),
    "Sign P-256": ("ECC_NIST_P256", "ECDSA_SHA_256"),
    "Sign ML-DSA-65": ("ML_DSA_65", "ML_DSA_SHAKE_256"),
}


class Kms(NamedTuple):
    """A KMS endpoint, and credentials that may call it."""

    endpoint: str
    credentials: Credentials

    def client(self) -> KMSClient:
        return boto3.client(
            "kms",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=self.credentials.access_key,
            aws_secret_access_key=self.credentials.secret_key,
        )

    def signed(self, operation: str, bodies: Sequence[Mapping[str, object]]) -> list[Request]:
        """Return requests as botocore signs them now."""
        signer = SigV4Auth(self.credentials, "kms", REGION)
        prepared = []
        for body in bodies:
            headers = {"X-Amz-Target": f"TrentService.{operation}", "Content-Type": "application/x-amz-json-1.1"}
            data = json.dumps(body).encode()
            request = AWSRequest("POST", self.endpoint + "/", {**headers, "User-Agent": "bench"}, data)
            signer.add_auth(request)
            prepared.append(Request("POST", "/", dict(request.headers.items()), data))
        return prepared

    def call(self, name: str, bodies: Sequence[Mapping[str, object]], check: Check) -> Call:
        """Return a call; ``check`` tells whether an answer is right for its request, both decoded."""

        def checked(request: Request, reply: Reply) -> None:
            assert reply.status == 200, f"{name}: {reply}"
            assert check(json.loads(request.body), json.loads(reply.body)), f"{name}: {reply}"

        return Call(name, partial(self.signed, name.partition(" ")[0], bodies), checked)


def encoded(data: bytes) -> str:
    return b64encode(data).decode()


def encrypt(kms: Kms, key_id: str) -> Call:
    client = kms.client()

    def opens(request: Json, reply: Json) -> bool:
        opened = client.decrypt(CiphertextBlob=b64decode(reply["CiphertextBlob"]), EncryptionContext=CONTEXT)
        return opened["Plaintext"] == b64decode(request["Plaintext"])

    bodies = [{"KeyId": key_id, "Plaintext": encoded(each), "EncryptionContext": CONTEXT} for each in PLAINTEXTS]
    return kms.call("Encrypt", bodies, opens)


def decrypt(kms: Kms, key_id: str) -> Call:
    client = kms.client()
    sealed = {
        encoded(client.encrypt(KeyId=key_id, Plaintext=each, EncryptionContext=CONTEXT)["CiphertextBlob"]): encoded(
            each
        )
        for each in PLAINTEXTS[:SEALED]
    }
    bodies = [{"CiphertextBlob": blob, "EncryptionContext": CONTEXT} for blob in sealed]
    return kms.call(
        "Decrypt", bodies, lambda request, reply: bool(reply["Plaintext"] == sealed[request["CiphertextBlob"]])
    )


def generate_data_key(kms: Kms, key_id: str) -> Call:
    client = kms.client()

    def opens(_request: Json, reply: Json) -> bool:
        opened = client.decrypt(CiphertextBlob=b64decode(reply["CiphertextBlob"]), EncryptionContext=CONTEXT)
        return opened["Plaintext"] == b64decode(reply["Plaintext"])

    return kms.call("GenerateDataKey", [{"KeyId": key_id, "KeySpec": "AES_256", "EncryptionContext": CONTEXT}], opens)


def sign(kms: Kms, name: str) -> Call:
    spec, algorithm = SIGNERS[name]
    client = kms.client()
    key_id = client.create_key(KeySpec=spec, KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    public_key = client.get_public_key(KeyId=key_id)["PublicKey"]

    def verifies(request: Json, reply: Json) -> bool:
        verify(public_key, b64decode(reply["Signature"]), b64decode(request["Message"]))
        return True

    bodies = [{"KeyId": key_id, "Message": encoded(each), "SigningAlgorithm": algorithm} for each in PLAINTEXTS]
    return kms.call(name, bodies, verifies)


def verify(public_key: bytes, signature: bytes, message: bytes) -> None:
    """Raise InvalidSignature unless a signature is a message's, by its signer's SubjectPublicKeyInfo, DER."""
    match load_der_public_key(public_key):
        case RSAPublicKey() as rsa:
            rsa.verify(signature, message, PKCS1v15(), SHA256())
        case EllipticCurvePublicKey() as curve:
            curve.verify(signature, message, ECDSA(SHA256()))
        case MLDSA65PublicKey() as lattice:
            lattice.verify(signature, message)
        case other:
            raise AssertionError(other)


def generate_mac(kms: Kms) -> Call:
    client = kms.client()
    key_id = client.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]["KeyId"]

    def verifies(request: Json, reply: Json) -> bool:
        return client.verify_mac(
            KeyId=key_id,
            Message=b64decode(request["Message"]),
            Mac=b64decode(reply["Mac"]),
            MacAlgorithm="HMAC_SHA_256",
        )["MacValid"]

    bodies = [{"KeyId": key_id, "Message": encoded(each), "MacAlgorithm": "HMAC_SHA_256"} for each in PLAINTEXTS]
    return kms.call("GenerateMac", bodies, verifies)


def describe_key(kms: Kms, key_id: str) -> Call:
    return kms.call(
        "DescribeKey",
        [{"KeyId": key_id}],
        lambda request, reply: bool(reply["KeyMetadata"]["KeyId"] == request["KeyId"]),
    )


def create_key(kms: Kms) -> Call:
    client = kms.client()

    def is_there(request: Json, reply: Json) -> bool:
        found = client.describe_key(KeyId=reply["KeyMetadata"]["Arn"])["KeyMetadata"]
        return bool(found["Enabled"] and found["Description"] == request["Description"])

    return kms.call("CreateKey", [{"Description": f"number {number}"} for number in range(PREPARED)], is_there)


def every_call(kms: Kms) -> list[Call]:
    """Return all calls that are measured; what they need is made."""
    key_id = kms.client().create_key()["KeyMetadata"]["KeyId"]
    return [
        encrypt(kms, key_id),
        decrypt(kms, key_id),
        generate_data_key(kms, key_id),
        *(sign(kms, name) for name in SIGNERS),
        generate_mac(kms),
        describe_key(kms, key_id),
        create_key(kms),
    ]
