"""The properties of custom key stores: which are required, which can be changed, and which must be unique."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from accounts import data_of, last_record
from client_errors import error_code_of, error_of
from custom_stores import CLUSTER, CREDENTIAL, OWNER, PASSWORD, PROXY, SERVICE, VPC, Stores
from local_server import RunningServer
from written_data import written_data
from xks_stub import SECRET


def test_a_store_in_a_cluster(stores: Stores) -> None:
    store_id = stores.new("cluster", **CLUSTER)
    entry = stores.entry(store_id)
    created = entry.pop("CreationDate")
    assert timedelta(0) <= datetime.now(UTC) - created < timedelta(minutes=1)  # noqa: TID251 - a client
    assert entry == {
        "CustomKeyStoreId": store_id,
        "CustomKeyStoreName": "cluster",
        "CloudHsmClusterId": "cluster-2a34b5cdefg",
        "TrustAnchorCertificate": "-----BEGIN CERTIFICATE-----",
        "ConnectionState": "DISCONNECTED",
        "CustomKeyStoreType": "AWS_CLOUDHSM",
    }


def test_external_stores_show_their_proxy_without_its_secret(stores: Stores) -> None:
    public = stores.entry(stores.new("public", **PROXY))
    assert public["CustomKeyStoreType"] == "EXTERNAL_KEY_STORE"
    assert not {"CloudHsmClusterId", "TrustAnchorCertificate", "ConnectionErrorCode"} & public.keys()
    assert public["XksProxyConfiguration"] == {
        "Connectivity": "PUBLIC_ENDPOINT",
        "AccessKeyId": "ABCDEFGHIJKLMNOPQRST",
        "UriEndpoint": "https://proxy.example.com",
        "UriPath": "/one/kms/xks/v1",
    }
    private = stores.entry(stores.new("private", **VPC))["XksProxyConfiguration"]
    # Unless another owner is named, the endpoint service is the caller's own.
    assert (private["VpcEndpointServiceName"], private["VpcEndpointServiceOwner"]) == (SERVICE, OWNER)


def test_parameters_that_are_missing_or_belong_to_the_other_type(stores: Stores) -> None:
    for complete in (CLUSTER, PROXY, VPC):
        for name in complete.keys() - {"CustomKeyStoreType"}:
            asked = {other: value for other, value in complete.items() if other != name}
            refused = error_code_of(stores.kms.create_custom_key_store, CustomKeyStoreName="lacks", **asked)
            assert refused == "ValidationException", name
    own: dict[str, Any] = {"CustomKeyStoreType": "AWS_CLOUDHSM", **CLUSTER}
    for asked in (
        *({**own, name: VPC[name]} for name in VPC.keys() - {"CustomKeyStoreType"}),
        {**own, "XksProxyVpcEndpointServiceOwner": OWNER},
        *({**PROXY, name: value} for name, value in CLUSTER.items()),
        {**PROXY, "XksProxyVpcEndpointServiceName": SERVICE},
    ):
        refused = error_code_of(stores.kms.create_custom_key_store, CustomKeyStoreName="mixed", **asked)
        assert refused == "ValidationException", asked


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("CloudHsmClusterId", "cluster-1a23b4cdef0"),
        ("KeyStorePassword", "x" * 33),
        ("XksProxyUriEndpoint", "http://proxy.example.com"),
        ("XksProxyUriEndpoint", "https://proxy.example.com:8443"),
        ("XksProxyUriPath", "/kms/xks/1"),
        ("XksProxyAuthenticationCredential", {**CREDENTIAL, "AccessKeyId": "lower case is not allowed"}),
        ("XksProxyVpcEndpointServiceName", "com.amazonaws.vpce.us-east-1.svc-0123"),
    ],
)
def test_values_out_of_their_limits(stores: Stores, member: str, value: Any) -> None:
    asked = {**(CLUSTER if member in CLUSTER else VPC), member: value}
    refused = error_of(stores.kms.create_custom_key_store, CustomKeyStoreName="bad", **asked)
    assert refused["Code"] == "ValidationException"
    assert f"at '{member[0].lower()}{member[1:]}" in refused["Message"]
    if member in {"KeyStorePassword", "XksProxyAuthenticationCredential"}:
        assert "x" * 33 not in refused["Message"]
        assert "lower case" not in refused["Message"]


def test_names_clusters_and_proxies_are_in_use_once(stores: Stores) -> None:
    def refusal(name: str, **asked: Any) -> str:
        return error_code_of(stores.kms.create_custom_key_store, CustomKeyStoreName=name, **asked)

    stores.new("cluster", **CLUSTER)
    public, private = stores.new("public", **PROXY), stores.new("private", **VPC)
    assert refusal("cluster", **PROXY) == "CustomKeyStoreNameInUseException"
    assert refusal("other", **CLUSTER) == "CloudHsmClusterInUseException"
    assert refusal("other", **PROXY) == "XksProxyUriInUseException"
    # Public endpoints can be shared under another path, private ones cannot, nor one for both.
    elsewhere = {"XksProxyUriPath": "/two/kms/xks/v1"}
    at_public = {"XksProxyUriEndpoint": PROXY["XksProxyUriEndpoint"], "XksProxyVpcEndpointServiceName": SERVICE[:-1]}
    assert refusal("other", **{**VPC, **elsewhere}) == "XksProxyUriEndpointInUseException"
    assert refusal("other", **{**VPC, **elsewhere, **at_public}) == "XksProxyUriEndpointInUseException"
    own_name = {**VPC, "XksProxyUriEndpoint": "https://another.example.com"}
    assert refusal("other", **own_name) == "XksProxyVpcEndpointServiceInUseException"
    second = stores.new("second", **{**PROXY, **elsewhere})
    assert stores.refusal(second, NewCustomKeyStoreName="public") == "CustomKeyStoreNameInUseException"
    assert stores.refusal(second, XksProxyUriPath="/one/kms/xks/v1") == "XksProxyUriInUseException"
    stores.update(public, NewCustomKeyStoreName="public")
    stores.update(private, NewCustomKeyStoreName="renamed")
    stores.new("private", **{**PROXY, "XksProxyUriPath": "/kms/xks/v1"})


def test_what_is_given_changes_and_the_rest_stays(stores: Stores) -> None:
    cluster, external = stores.new("cluster", **CLUSTER), stores.new("external", **PROXY)
    before = stores.entry(cluster)
    stores.update(cluster, CloudHsmClusterId="cluster-abcdefghijk", KeyStorePassword="another one")
    assert stores.entry(cluster) == {**before, "CloudHsmClusterId": "cluster-abcdefghijk"}

    before = stores.entry(external)["XksProxyConfiguration"]
    renewed = {**CREDENTIAL, "AccessKeyId": "TSRQPONMLKJIHGFEDCBA"}
    stores.update(external, XksProxyAuthenticationCredential=renewed, XksProxyUriPath="/new/kms/xks/v1")
    after = {**before, "AccessKeyId": "TSRQPONMLKJIHGFEDCBA", "UriPath": "/new/kms/xks/v1"}
    assert stores.entry(external)["XksProxyConfiguration"] == after

    to_vpc: dict[str, Any] = {
        "XksProxyConnectivity": "VPC_ENDPOINT_SERVICE",
        "XksProxyUriEndpoint": "https://private.example.com",
        "XksProxyVpcEndpointServiceName": SERVICE,
    }
    for name in to_vpc:
        incomplete = {other: value for other, value in to_vpc.items() if other != name}
        assert stores.refusal(external, **incomplete) == "ValidationException", name
    stores.update(external, **to_vpc, XksProxyVpcEndpointServiceOwner="111122223333")
    found = stores.entry(external)["XksProxyConfiguration"]
    assert (found["UriEndpoint"], found["VpcEndpointServiceOwner"]) == ("https://private.example.com", "111122223333")
    back = {"XksProxyConnectivity": "PUBLIC_ENDPOINT", "XksProxyUriEndpoint": "https://proxy.example.com"}
    stores.update(external, **back)
    assert stores.entry(external)["XksProxyConfiguration"] == after


def test_a_store_keeps_its_type(stores: Stores) -> None:
    cluster, external = stores.new("cluster", **CLUSTER), stores.new("external", **PROXY)
    for name in VPC.keys() - {"CustomKeyStoreType"}:
        assert stores.refusal(cluster, **{name: VPC[name]}) == "ValidationException"
    for name in ("CloudHsmClusterId", "KeyStorePassword"):
        assert stores.refusal(external, **{name: CLUSTER[name]}) == "ValidationException"


def test_no_secret_is_shown_or_stored_in_plaintext(server: RunningServer, stores: Stores) -> None:
    store_id = stores.new("cluster", **CLUSTER)
    record = last_record(server)
    assert (record["eventName"], record["readOnly"]) == ("CreateCustomKeyStore", False)
    assert record["requestParameters"]["customKeyStoreName"] == "cluster"
    external = stores.new("external", **PROXY)
    stores.update(store_id, KeyStorePassword=PASSWORD)
    stores.update(external, XksProxyAuthenticationCredential=CREDENTIAL)
    written = dict(written_data(data_of(server)))
    assert written.keys() & {"strongroom.db", "custom_key_store"}
    assert any(name.endswith(".jsonl") for name in written)
    shown = json.dumps(stores.kms.describe_custom_key_stores(), default=str).encode()
    for content in (shown, *written.values()):
        assert PASSWORD.encode() not in content
        assert SECRET.encode() not in content
