"""Custom key stores: parameters that register them, and a helper that creates and deletes them."""

import re
from typing import Any

from mypy_boto3_kms.client import KMSClient

from client_errors import error_code_of
from clients import response_members
from xks_stub import ACCESS_KEY_ID, SECRET

PASSWORD = "kmsuser's password"
CREDENTIAL = {"AccessKeyId": ACCESS_KEY_ID, "RawSecretAccessKey": SECRET}
CLUSTER: dict[str, Any] = {
    "CloudHsmClusterId": "cluster-2a34b5cdefg",
    "KeyStorePassword": PASSWORD,
    "TrustAnchorCertificate": "-----BEGIN CERTIFICATE-----",
}
PROXY: dict[str, Any] = {
    "CustomKeyStoreType": "EXTERNAL_KEY_STORE",
    "XksProxyUriEndpoint": "https://proxy.example.com",
    "XksProxyUriPath": "/one/kms/xks/v1",
    "XksProxyAuthenticationCredential": CREDENTIAL,
    "XksProxyConnectivity": "PUBLIC_ENDPOINT",
}
SERVICE = "com.amazonaws.vpce.us-east-1.vpce-svc-0123456789abcdef0"
VPC: dict[str, Any] = {
    **PROXY,
    "XksProxyUriEndpoint": "https://private.example.com",
    "XksProxyConnectivity": "VPC_ENDPOINT_SERVICE",
    "XksProxyVpcEndpointServiceName": SERVICE,
}
OWNER = "777788889999"
GONE = "cks-00000000000000000"


class Stores:
    """Creates custom key stores, and deletes all of them after a test. The account must have no others."""

    def __init__(self, kms: KMSClient) -> None:
        self.kms = kms

    def new(self, name: str, **asked: Any) -> str:
        store_id = self.kms.create_custom_key_store(CustomKeyStoreName=name, **asked)["CustomKeyStoreId"]
        assert re.fullmatch("cks-[0-9a-f]{17}", store_id)
        return store_id

    def entry(self, store_id: str) -> dict[str, Any]:
        answer = response_members(self.kms.describe_custom_key_stores(CustomKeyStoreId=store_id))
        (entry,) = answer.pop("CustomKeyStores")
        assert answer == {"Truncated": False}
        return dict(entry)

    def state(self, store_id: str) -> tuple[str, str | None]:
        entry = self.entry(store_id)
        return entry["ConnectionState"], entry.get("ConnectionErrorCode")

    def update(self, store_id: str, **asked: Any) -> None:
        assert response_members(self.kms.update_custom_key_store(CustomKeyStoreId=store_id, **asked)) == {}

    def refusal(self, store_id: str, **asked: Any) -> str:
        return error_code_of(self.kms.update_custom_key_store, CustomKeyStoreId=store_id, **asked)

    def clear(self) -> None:
        for entry in self.kms.describe_custom_key_stores()["CustomKeyStores"]:
            if entry["ConnectionState"] != "DISCONNECTED":
                self.kms.disconnect_custom_key_store(CustomKeyStoreId=entry["CustomKeyStoreId"])
            self.kms.delete_custom_key_store(CustomKeyStoreId=entry["CustomKeyStoreId"])
