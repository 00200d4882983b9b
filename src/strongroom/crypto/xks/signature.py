"""Signs requests to a proxy with AWS Signature Version 4, service ``kms-xks-proxy``.

A small signer of our own: botocore is an extra, and needs more code to sign than this has.
Source: XKS Proxy API Specification 1.0.3, "Authentication": KMS signs ``host`` and ``x-amz-date``, and sends no
``x-amz-content-sha256``. AWS General Reference, "Signature Version 4 signing process".
"""

import hmac
import time
from hashlib import sha256

import msgspec
from typing_extensions import override

SERVICE = "kms-xks-proxy"
_ALGORITHM = "AWS4-HMAC-SHA256"
_SIGNED_HEADERS = "host;x-amz-date"


class ProxyCredential(msgspec.Struct, frozen=True):
    """The access key with which requests to one proxy are signed. ``secret`` is used as text."""

    access_key_id: str
    secret: str

    @override
    def __repr__(self) -> str:
        return f"ProxyCredential({self.access_key_id})"


def signed_request(host: str, path: str, body: bytes, credential: ProxyCredential, region: str, now: float) -> bytes:
    """Return a signed POST request, head and body. ``now`` is in epoch seconds; ``path`` needs no encoding."""
    timestamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    day = timestamp[:8]
    scope = f"{day}/{region}/{SERVICE}/aws4_request"
    canonical = f"POST\n{path}\n\nhost:{host}\nx-amz-date:{timestamp}\n\n{_SIGNED_HEADERS}\n{sha256(body).hexdigest()}"
    to_sign = f"{_ALGORITHM}\n{timestamp}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{credential.secret}".encode()
    for part in (day, region, SERVICE, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    head = (
        f"POST {path} HTTP/1.1\r\n"
        f"host: {host}\r\n"
        f"x-amz-date: {timestamp}\r\n"
        f"authorization: {_ALGORITHM} Credential={credential.access_key_id}/{scope}, "
        f"SignedHeaders={_SIGNED_HEADERS}, Signature={signature}\r\n"
        "content-type: application/json\r\n"
        f"content-length: {len(body)}\r\n"
        "\r\n"
    )
    return head.encode() + body
