"""Custom key stores with keys, which the tests write to the store: there is no token."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from keys_builder import make_key
from local_deployment import LocalDeployment, Refused
from policies import allow, document
from strongroom.clock import ManualClock

CLUSTER: dict[str, Any] = {"KeyStorePassword": "password", "TrustAnchorCertificate": "certificate"}


@pytest.fixture
def local(tmp_path: Path, clock: ManualClock) -> Iterator[LocalDeployment]:
    local = LocalDeployment(tmp_path / "data", clock)
    yield local
    local.deployment.close()


def test_a_store_with_keys_is_not_deleted(local: LocalDeployment) -> None:
    full, empty = (
        local.call("CreateCustomKeyStore", CustomKeyStoreName=name, CloudHsmClusterId=f"cluster-{name * 11}", **CLUSTER)
        for name in ("f", "e")
    )
    policy = document(allow("arn:aws:iam::000000000000:root"))
    key = replace(make_key(1), account="000000000000", policy=policy, custom_key_store_id=full["CustomKeyStoreId"])
    local.deployment.backends.store.write(lambda transaction: transaction.add_key(key))
    described = local.call("DescribeKey", KeyId=key.key_id)["KeyMetadata"]
    assert described["CustomKeyStoreId"] == full["CustomKeyStoreId"]
    with pytest.raises(Refused, match="CustomKeyStoreHasCMKsException"):
        local.call("DeleteCustomKeyStore", **full)
    local.call("DeleteCustomKeyStore", **empty)
    local.deployment.backends.store.write(lambda transaction: transaction.erase_key(key))
    local.call("DeleteCustomKeyStore", **full)
    assert local.call("DescribeCustomKeyStores") == {"CustomKeyStores": [], "Truncated": False}


def test_each_region_has_its_own_stores(local: LocalDeployment) -> None:
    asked = {"CustomKeyStoreName": "store", "CloudHsmClusterId": "cluster-abcdefghijk", **CLUSTER}
    elsewhere = {**asked, "CloudHsmClusterId": "cluster-lmnopqrstuv"}
    here = local.call("CreateCustomKeyStore", **asked)
    with pytest.raises(Refused, match="CloudHsmClusterInUseException"):
        local.call("CreateCustomKeyStore", **asked, region="eu-west-1")
    there = local.call("CreateCustomKeyStore", **elsewhere, region="eu-west-1")
    (entry,) = local.call("DescribeCustomKeyStores")["CustomKeyStores"]
    assert entry["CustomKeyStoreId"] == here["CustomKeyStoreId"]
    with pytest.raises(Refused, match="CustomKeyStoreNotFoundException"):
        local.call("DeleteCustomKeyStore", **there)
    local.call("DeleteCustomKeyStore", **there, region="eu-west-1")
