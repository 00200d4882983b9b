"""Calls of AWS KMS to an XKS proxy, written from the specification and signed by botocore, and their replies."""

import base64
import json
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any

import msgspec
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from clients import sign

PREFIX = "example/uri/path/prefix"
PRINCIPAL = "arn:aws:iam::123456789012:user/Alice"
KMS_KEY = "arn:aws:kms:us-east-2:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
REQUEST_ID = "4112f4d6-db54-4af4-ae30-c55a22a8dfae"
PROXY_PRINCIPAL = "xks-proxy.strongroom.amazonaws.com"
ROOT = {
    "Effect": "Allow",
    "Principal": {"AWS": "arn:aws:iam::000000000000:root"},
    "Action": "kms:*",
    "Resource": "*",
}
ACTIONS = ("kms:DescribeKey", "kms:Encrypt", "kms:Decrypt")


def policy(*actions: str, condition: Mapping[str, Any] | None = None) -> str:
    """Return a key policy that allows the account everything, and the proxy some actions."""
    allowed: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": {"Service": PROXY_PRINCIPAL},
        "Action": list(actions or ACTIONS),
        "Resource": "*",
    }
    if condition is not None:
        allowed["Condition"] = condition
    return json.dumps({"Version": "2012-10-17", "Statement": [ROOT, allowed]})


class XksReply(msgspec.Struct):
    """The status and the body of a reply."""

    status: int
    body: dict[str, Any]

    @property
    def error(self) -> tuple[int, str]:
        """The status and the name of an error."""
        return self.status, str(self.body.get("errorName", ""))

    @property
    def plaintext(self) -> bytes:
        """The plaintext in a reply of Decrypt."""
        return base64.b64decode(self.body["plaintext"])

    def bytes_of(self, name: str) -> bytes:
        """Return a member of the body that is bytes."""
        return base64.b64decode(self.body.get(name, ""))

    def integrity(self, associated_data: bytes) -> bytes:
        """Return the integrity value that a reply of Encrypt must have."""
        names = ("ciphertextMetadata", "initializationVector", "ciphertext", "authenticationTag")
        return sha256(associated_data + b"".join(map(self.bytes_of, names))).digest()


def metadata(operation: str = "Encrypt", **changes: str | None) -> dict[str, Any]:
    """Return the request metadata of a call; None leaves a member out."""
    claims = {
        "awsPrincipalArn": PRINCIPAL,
        "kmsKeyArn": KMS_KEY,
        "kmsOperation": operation,
        "kmsRequestId": REQUEST_ID,
        "kmsViaService": "ebs",
        **changes,
    }
    return {"requestMetadata": {name: value for name, value in claims.items() if value is not None}}


def encrypt_body(plaintext: bytes = b"Hello World!", associated_data: bytes = b"", **more: Any) -> dict[str, Any]:
    """Return the body of Encrypt."""
    body = {**metadata(), "plaintext": base64.b64encode(plaintext).decode(), "encryptionAlgorithm": "AES_GCM", **more}
    if associated_data:
        body["additionalAuthenticatedData"] = base64.b64encode(associated_data).decode()
    return body


def decrypt_body(encrypted: XksReply, associated_data: bytes = b"", **more: Any) -> dict[str, Any]:
    """Return the body of Decrypt for a reply of Encrypt."""
    names = ("ciphertext", "ciphertextMetadata", "initializationVector", "authenticationTag")
    body = {
        **metadata("Decrypt"),
        **{name: encrypted.body[name] for name in names},
        "encryptionAlgorithm": "AES_GCM",
        **more,
    }
    if associated_data:
        body["additionalAuthenticatedData"] = base64.b64encode(associated_data).decode()
    return body


def signed_request(
    url: str, body: bytes, credentials: Credentials, at: datetime, *, region: str = "us-east-1", method: str = "POST"
) -> AWSRequest:
    """Return a request as KMS signs it: the host and the date, and nothing more."""
    request = AWSRequest(method, url, {}, body)
    sign(request, credentials, "kms-xks-proxy", region, at)
    return request
