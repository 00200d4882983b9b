"""Nothing that goes into or comes out of the service as bytes is in the audit log; nor is any token or secret key."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.session import get_session
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from mypy_boto3_iam.client import IAMClient
from mypy_boto3_kms.client import KMSClient

from accounts import data_of
from audits import audit_bytes, audit_records
from client_errors import error_code_of
from clients import client_with, credentials_of, send, signed
from identities import ACCOUNT, Identities
from key_import import wrap
from local_server import RunningServer
from policies import document
from sessions import SessionClients, assume

PLAINTEXT = b"Attack at dawn, by the north gate"
MATERIAL = b"thirty-two bytes of key material"
TOKENS = {"GrantToken", "GrantTokens", "SecretAccessKey", "SessionToken", "KeyStorePassword"}


def secrets_in(value: Any, name: str = "") -> Iterator[bytes]:
    """Yield all bytes in a request or answer, and all members with the name of a secret."""
    if isinstance(value, bytes):
        yield value
    elif isinstance(value, str) and name in TOKENS:
        yield value.encode()
    elif isinstance(value, list):
        for each in value:
            yield from secrets_in(each, name)
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from secrets_in(each, key)


def forms_of(secret: bytes) -> Iterator[bytes]:
    """Yield each form in which a log could show a secret: as it is, in hexadecimal, in base64 within a longer text."""
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    for skipped in range(3):
        part = secret[skipped:]
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(part[: len(part) // 3 * 3])


class CallObserver:
    """Makes calls, and remembers every secret of theirs."""

    def __init__(self) -> None:
        self.secrets: set[bytes] = set()
        self.operations: set[str] = set()

    def call(self, client: Any, operation: str, **request: Any) -> dict[str, Any]:
        method = client.meta.method_to_api_mapping
        (python,) = (name for name, api in method.items() if api == operation)
        answer: dict[str, Any] = getattr(client, python)(**request)
        self.operations.add(operation)
        self.secrets.update(secrets_in(request), secrets_in(answer))
        return answer


def new_key(kms: Any, **more: Any) -> str:
    return str(kms.create_key(**more)["KeyMetadata"]["KeyId"])


def symmetric(observer: CallObserver, kms: Any) -> None:
    key = {"KeyId": new_key(kms)}
    blob = observer.call(kms, "Encrypt", **key, Plaintext=PLAINTEXT)["CiphertextBlob"]
    assert observer.call(kms, "Decrypt", CiphertextBlob=blob)["Plaintext"] == PLAINTEXT
    observer.call(kms, "ReEncrypt", CiphertextBlob=blob, DestinationKeyId=new_key(kms))
    observer.call(kms, "GenerateDataKey", **key, KeySpec="AES_256")
    observer.call(kms, "GenerateDataKeyWithoutPlaintext", **key, KeySpec="AES_256")
    observer.call(kms, "GenerateDataKeyPair", **key, KeyPairSpec="ECC_NIST_P256")
    observer.call(kms, "GenerateDataKeyPairWithoutPlaintext", **key, KeyPairSpec="ECC_NIST_P256")
    observer.call(kms, "GenerateRandom", NumberOfBytes=64)
    mac_key = {
        "KeyId": new_key(kms, KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC"),
        "MacAlgorithm": "HMAC_SHA_256",
    }
    mac = observer.call(kms, "GenerateMac", **mac_key, Message=PLAINTEXT)["Mac"]
    observer.call(kms, "VerifyMac", **mac_key, Message=PLAINTEXT, Mac=mac)


def asymmetric(observer: CallObserver, kms: Any) -> None:
    key = {"KeyId": new_key(kms, KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY"), "SigningAlgorithm": "ECDSA_SHA_256"}
    signature = observer.call(kms, "Sign", **key, Message=PLAINTEXT)["Signature"]
    observer.call(kms, "Verify", **key, Message=PLAINTEXT, Signature=signature)
    observer.call(kms, "GetPublicKey", KeyId=key["KeyId"])
    peer = ec.generate_private_key(ec.SECP256R1()).public_key()
    observer.call(
        kms,
        "DeriveSharedSecret",
        KeyId=new_key(kms, KeySpec="ECC_NIST_P256", KeyUsage="KEY_AGREEMENT"),
        KeyAgreementAlgorithm="ECDH",
        PublicKey=peer.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    )
    kem = {
        "KeyId": new_key(kms, KeySpec="ML_KEM_768", KeyUsage="ENCAPSULATE_DECAPSULATE"),
        "EncapsulationAlgorithm": "ML_KEM",
    }
    blob = observer.call(kms, "Encapsulate", **kem)["SharedSecretCiphertextBlob"]
    observer.call(kms, "Decapsulate", **kem, SharedSecretCiphertextBlob=blob)


def imported(observer: CallObserver, kms: Any) -> None:
    key_id = new_key(kms, Origin="EXTERNAL")
    wrapping = {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"}
    given = observer.call(kms, "GetParametersForImport", KeyId=key_id, **wrapping)
    observer.call(
        kms,
        "ImportKeyMaterial",
        KeyId=key_id,
        ImportToken=given["ImportToken"],
        EncryptedKeyMaterial=wrap(given["PublicKey"], "RSAES_OAEP_SHA_256", MATERIAL),
        ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE",
    )
    observer.secrets.add(MATERIAL)


def tokens(observer: CallObserver, server: RunningServer, iam: IAMClient, kms: Any) -> None:
    identities = Identities(server, iam)
    user = identities.user()
    key_id = new_key(kms)
    for end in ("RetireGrant", "RevokeGrant"):
        grant = observer.call(kms, "CreateGrant", KeyId=key_id, GranteePrincipal=user.arn, Operations=["Encrypt"])
        token = grant["GrantToken"]
        observer.call(user.kms, "Encrypt", KeyId=key_id, Plaintext=PLAINTEXT, GrantTokens=[token])
        ending = {"GrantToken": token} if end == "RetireGrant" else {"KeyId": key_id, "GrantId": grant["GrantId"]}
        observer.call(kms, end, **ending)
    assert error_code_of(user.kms.encrypt, KeyId=key_id, Plaintext=PLAINTEXT, GrantTokens=["not-a-token-at-all"])
    observer.secrets.add(b"not-a-token-at-all")
    observer.call(iam, "CreateAccessKey", UserName=user.name)
    sts = client_with(server, "sts", user.credentials)
    observer.call(sts, "GetSessionToken")
    role = identities.role(ACCOUNT)
    iam.put_user_policy(
        UserName=user.name,
        PolicyName="assume",
        PolicyDocument=document({"Effect": "Allow", "Action": "sts:*", "Resource": "*"}),
    )
    session = SessionClients(server, assume(sts, role["Arn"]))
    session.sts.get_caller_identity()
    assert session.credentials.token is not None
    observer.secrets |= {session.credentials.token.encode(), session.credentials.secret_key.encode()}


def refusals(observer: CallObserver, server: RunningServer, kms: KMSClient) -> None:
    """Fail in ways whose messages might repeat what was sent."""
    key_id = new_key(kms)
    assert error_code_of(kms.encrypt, KeyId=key_id, Plaintext=PLAINTEXT * 200) == "ValidationException"
    assert error_code_of(kms.decrypt, CiphertextBlob=PLAINTEXT * 3) == "InvalidCiphertextException"
    assert error_code_of(kms.encrypt, KeyId="alias/none", Plaintext=PLAINTEXT) == "NotFoundException"
    password = "a keystore's password"
    observer.secrets.add(password.encode())
    for wrong in (
        {"Plaintext": PLAINTEXT.decode()},
        {"Plaintext": [PLAINTEXT.decode()]},
        {"Plaintext": "eA==", "GrantTokens": PLAINTEXT.decode()},
    ):
        body = json.dumps({"KeyId": key_id, **wrong}).encode()
        assert send(server, signed(server, "Encrypt", body)).status == 400
    store = {"CustomKeyStoreName": "store", "KeyStorePassword": password, "CloudHsmClusterId": "cluster-1a23b4cdefg"}
    send(server, signed(server, "CreateCustomKeyStore", json.dumps(store).encode()))


def test_no_record_holds_a_secret(server: RunningServer, kms: KMSClient, iam: IAMClient) -> None:
    observer = CallObserver()
    symmetric(observer, kms)
    asymmetric(observer, kms)
    imported(observer, kms)
    tokens(observer, server, iam, kms)
    refusals(observer, server, kms)
    observer.secrets.add(str(credentials_of(server).secret_key).encode())
    assert operations_with_bytes() <= observer.operations
    data = data_of(server)
    assert observer.operations <= {record["eventName"] for record in audit_records(data)}
    log = audit_bytes(data)
    assert len(observer.secrets) > 30
    for secret in observer.secrets:
        assert len(secret) >= 12
        assert not any(form in log for form in forms_of(secret)), secret


def operations_with_bytes() -> set[str]:
    """Return the operations of KMS whose requests or answers have bytes in them."""
    model = get_session().get_service_model("kms")
    found = set()
    for name in model.operation_names:
        operation = model.operation_model(name)
        shapes = [shape for shape in (operation.input_shape, operation.output_shape) if shape is not None]
        if any(member.type_name == "blob" for shape in shapes for member in shape.members.values()):
            found.add(name)
    return found


@pytest.mark.parametrize("secret", [PLAINTEXT, MATERIAL])
def test_the_search_would_find_a_secret(secret: bytes) -> None:
    for kept in (secret, base64.b64encode(b"before" + secret), base64.b64encode(b"x" + secret), secret.hex().encode()):
        assert any(form in b"{" + kept + b"}" for form in forms_of(secret))
