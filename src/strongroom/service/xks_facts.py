"""What is known of one call of AWS KMS to an XKS proxy, as far as work on it has come."""

import msgspec

from strongroom.keys.kms_key import KmsKey
from strongroom.xks_proxy.paths import Route
from strongroom.xks_proxy.registry import XksProxy
from strongroom.xks_proxy.requests import RequestMetadata


class XksFacts(msgspec.Struct):
    """A call, for its authorization and its audit record. ``now`` is in epoch seconds.

    ``access_key_id`` is empty until the signature is verified. ``material_id`` is that of the key material that was
    used.
    """

    route: Route
    now: float
    request_id: str
    source_ip: str
    user_agent: str
    secure: bool
    proxy: XksProxy | None = None
    access_key_id: str = ""
    metadata: RequestMetadata | None = None
    key: KmsKey | None = None
    material_id: str = ""
