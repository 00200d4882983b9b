"""A deployment whose custom key stores are in tokens of SoftHSM."""

from pathlib import Path

import pytest

from local_deployment import LocalDeployment
from softhsm import MODULE, PIN, new_token
from strongroom.clock import ManualClock
from strongroom.settings import CloudHsmCluster

FIRST, SECOND = "cluster-aaaaaaaaaaa", "cluster-bbbbbbbbbbb"


def deployment_with_clusters(folder: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> LocalDeployment:
    """Make two clusters, and a third one that has the token of the first; close the deployment afterwards."""
    for label in ("first", "second"):
        for name, value in new_token(folder, label).items():
            monkeypatch.setenv(name, value)
    clusters = tuple(
        CloudHsmCluster(id=each, module=str(MODULE), token=label)
        for each, label in ((FIRST, "first"), (SECOND, "second"), ("cluster-ccccccccccc", "first"))
    )
    return LocalDeployment(folder / "data", clock, cloudhsm_clusters=clusters)


def new_store(local: LocalDeployment, cluster: str = FIRST) -> str:
    """Make a custom key store and connect it; return its id."""
    store_id: str = local.call(
        "CreateCustomKeyStore",
        CustomKeyStoreName=cluster,
        CloudHsmClusterId=cluster,
        KeyStorePassword=PIN,
        TrustAnchorCertificate="certificate",
    )["CustomKeyStoreId"]
    local.call("ConnectCustomKeyStore", CustomKeyStoreId=store_id)
    return store_id


def new_key(local: LocalDeployment, store_id: str) -> str:
    """Make a key in a custom key store; return its id."""
    key_id: str = local.call("CreateKey", Origin="AWS_CLOUDHSM", CustomKeyStoreId=store_id)["KeyMetadata"]["KeyId"]
    return key_id
