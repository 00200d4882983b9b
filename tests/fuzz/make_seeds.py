"""Writes the first seeds of every fuzz target. Seeds that fuzzing has added stay as they are.

``PYTHONPATH=tools:tests/support:tests/fuzz .venv/bin/python tests/fuzz/make_seeds.py``
"""

import io
import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import cbor2
import msgspec
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from msgspec.structs import replace

from attestations import Hypervisor, register
from audits import audit_files
from backups import COLUMNS, ROWS, written
from clients import sign
from fuzz_backups import CONTENT, encryptions
from fuzz_calls import _TEMPORARY, KEY_ALIAS
from fuzz_documents import _LOCATOR, NOW
from fuzz_http import ACCESS_KEY, REGION, SECRET
from issuers import AUDIENCE, Issuer
from local_deployment import LocalDeployment
from policies import KEY, allow, deny, document
from strongroom.backup.blocks import SectionHead
from strongroom.backup.writer import Section
from strongroom.clock import ManualClock
from strongroom.iam.session import Session
from strongroom.keys.ciphertext import header
from strongroom.keys.wrapping import WrappingAlgorithm
from strongroom.operations.grant_tokens import GrantToken
from strongroom.operations.kms.import_token import ImportToken
from targets import SEEDS

_CREDENTIALS = Credentials(ACCESS_KEY, SECRET)
_AT = datetime.fromtimestamp(NOW, UTC)


def main() -> None:
    """Write all seeds."""
    for name, seeds in _seeds().items():
        folder = SEEDS / name
        folder.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(seeds):
            (folder / f"{number:02}.bin").write_bytes(seed)


def _seeds() -> dict[str, list[bytes]]:
    http = [_signed(b'{"KeyId": "alias/a", "Plaintext": "eA=="}'), *_other_http()]
    hypervisor = Hypervisor(NOW)
    payload = {
        "timestamp": int(NOW * 1000),
        "pcrs": {0: register(0)},
        "nonce": b"n",
        "user_data": None,
        "digest": "SHA384",
    }
    token = ImportToken(_LOCATOR, b"wrapping", next(iter(WrappingAlgorithm)), NOW + 60)
    return {
        "age": _age(),
        "attestation": [hypervisor.document(b"key"), hypervisor.tpm_document(b"key"), cbor2.dumps([b"", {}, b"", b""])],
        "attested-payload": [cbor2.dumps(payload), cbor2.dumps({"cabundle": []}), cbor2.dumps({"certificate": b"0"})],
        "audit-log": _audit_segments(),
        "backup": [written([Section(SectionHead("things", COLUMNS), ROWS)]), written([])],
        "ciphertext": [header("ab" * 32) + bytes(60), b"\1", b"\0" * 40],
        "http": http,
        "json": [f"{name}\n{json.dumps(body)}".encode() for name, body in _KMS],
        "policy": [bytes([kind]) + text.encode() for kind in range(3) for text in _POLICIES],
        "presigned": [_presigned()],
        "query": [urlencode({"Action": name, **fields}).encode() for name, fields in _QUERY],
        "session-token": [msgspec.msgpack.encode(each) for each in _sessions()],
        "signature": [http[0]],
        "token": [msgspec.msgpack.encode(GrantToken(_LOCATOR, "a" * 64)), msgspec.msgpack.encode(token), b"AAAA"],
        "web-identity": _web_identities(),
    }


_KMS: list[tuple[str, dict[str, object]]] = [
    ("Encrypt", {"KeyId": KEY_ALIAS, "Plaintext": "eA==", "EncryptionContext": {"a": "b"}}),
    ("Decrypt", {"CiphertextBlob": "AQAA", "KeyId": KEY_ALIAS, "GrantTokens": ["AAAA"]}),
    ("GenerateDataKey", {"KeyId": KEY_ALIAS, "KeySpec": "AES_256", "DryRun": True}),
    ("CreateKey", {"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY", "Tags": [{"TagKey": "a", "TagValue": "b"}]}),
    ("CreateKey", {"Policy": document(allow("arn:aws:iam::000000000000:root")), "Origin": "EXTERNAL"}),
    (
        "CreateGrant",
        {"KeyId": KEY_ALIAS, "GranteePrincipal": "arn:aws:iam::000000000000:root", "Operations": ["Decrypt"]},
    ),
    ("ListKeys", {"Limit": 1, "Marker": "AAAA"}),
    ("PutKeyPolicy", {"KeyId": KEY_ALIAS, "PolicyName": "default", "Policy": document(allow(KEY))}),
    ("ImportKeyMaterial", {"KeyId": KEY_ALIAS, "ImportToken": "AAAA", "EncryptedKeyMaterial": "AAAA", "ValidTo": 1.5}),
    ("ScheduleKeyDeletion", {"KeyId": KEY, "PendingWindowInDays": 7}),
    ("UpdateAlias", {"AliasName": KEY_ALIAS, "TargetKeyId": KEY}),
    ("CreateCustomKeyStore", {"CustomKeyStoreName": "a", "CustomKeyStoreType": "AWS_CLOUDHSM"}),
]
_QUERY: list[tuple[str, dict[str, str]]] = [
    ("CreateUser", {"UserName": "alice", "Path": "/a/", "Tags.member.1.Key": "k", "Tags.member.1.Value": "v"}),
    ("PutUserPolicy", {"UserName": "alice", "PolicyName": "own", "PolicyDocument": document(allow(do="kms:*"))}),
    ("SimulateCustomPolicy", {"PolicyInputList.member.1": document(allow()), "ActionNames.member.1": "kms:Encrypt"}),
    ("AssumeRole", {"RoleArn": "arn:aws:iam::000000000000:role/a", "RoleSessionName": "s", "DurationSeconds": "900"}),
    ("GetSessionToken", {"DurationSeconds": "900"}),
    ("ListUsers", {"MaxItems": "1", "Marker": "AAAA", "PathPrefix": "/"}),
    ("CreateOpenIDConnectProvider", {"Url": "https://issuer.example", "ClientIDList.member.1": "a"}),
    ("AssumeRoleWithWebIdentity", {"RoleArn": "arn:aws:iam::000000000000:role/a", "WebIdentityToken": "e30.e30.AA"}),
]
_CONDITIONS = {
    "StringLike": {"kms:EncryptionContext:a": ["b*", "${aws:username}"]},
    "IpAddress": {"aws:SourceIp": "10.0.0.0/8"},
    "ForAllValues:StringEqualsIfExists": {"aws:TagKeys": ["a"]},
    "DateLessThan": {"aws:CurrentTime": "2030-01-01T00:00:00Z"},
    "Bool": {"aws:SecureTransport": "false"},
    "Null": {"aws:MultiFactorAuthAge": "true"},
    "NumericLessThan": {"kms:GrantConstraintType": "5"},
}
_POLICIES = [
    document(allow(), deny(do="kms:Decrypt", on=KEY)),
    document(allow("arn:aws:iam::111122223333:root", when=_CONDITIONS), version="2008-10-17"),
    document({"Effect": "Allow", "NotPrincipal": {"AWS": "*"}, "NotAction": "kms:*", "NotResource": ["*"]}),
]


def _sessions() -> list[Session]:
    """Return a session of the account's root, and one of a role that does not exist."""
    root = Session(access_key_id=_TEMPORARY, secret="s", account="000000000000", issued_at=NOW, expires_at=NOW + 900)
    policies = (document(allow(do="kms:*")),)
    role = replace(root, unique_id="AROAEXAMPLEEXAMPLE01", session_name="s", policies=policies, tags=(("a", "b"),))
    return [root, replace(root, policies=policies), role]


def _signed(body: bytes) -> bytes:
    headers = {"X-Amz-Target": "TrentService.Encrypt", "Content-Type": "application/x-amz-json-1.1"}
    request = AWSRequest("POST", "http://localhost/", headers, body)
    sign(request, _CREDENTIALS, "kms", REGION, _AT)
    lines = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "localhost", **request.headers}.items())
    return f"POST / HTTP/1.1\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _presigned() -> bytes:
    request = AWSRequest("GET", "http://localhost/?Action=GetCallerIdentity&Version=2011-06-15")
    auth: Any = SigV4QueryAuth(_CREDENTIALS, "sts", REGION, expires=60)
    request.context["timestamp"] = _AT.strftime("%Y%m%dT%H%M%SZ")
    auth._modify_request_before_signing(request)
    canonical = auth.canonical_request(request)
    auth._inject_signature_to_request(request, auth.signature(auth.string_to_sign(request, canonical), request))
    target = str(request.url).removeprefix("http://localhost")
    return f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def _other_http() -> list[bytes]:
    chunked = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    two = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET http://a/readyz?b HTTP/1.1\r\nConnection: close\r\n\r\n"
    expecting = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}"
    return [
        chunked,
        two,
        expecting,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST / HTTP/1.0\r\nContent-Length: 1\r\n\r\n{",
    ]


def _age() -> list[bytes]:
    made = []
    for encryption in encryptions():
        encryption.encrypt(io.BytesIO(CONTENT), target := io.BytesIO())
        made.append(target.getvalue())
    return made


def _web_identities() -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        issuer = Issuer(Path(folder) / "jwks", NOW)
        changes: list[dict[str, object]] = [
            {},
            {"aud": AUDIENCE, "groups": ["a"], "exp": NOW + 0.5},
            {"nbf": NOW + 3600},
        ]
        header = json.dumps({"alg": "RS256", "kid": "rsa", "typ": "JWT"})
        made = [f"{header}\n{json.dumps(issuer.claims(**each))}".encode() for each in changes]
        return [*made, issuer.token().encode()]


def _audit_segments() -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        local = LocalDeployment(Path(folder) / "data", ManualClock(NOW))
        for _ in range(2):
            local.call("ListKeys")
        local.deployment.close()
        return [b"%b\n%b" % (path.name.encode(), path.read_bytes()) for path in audit_files(Path(folder) / "data")]


if __name__ == "__main__":
    main()
