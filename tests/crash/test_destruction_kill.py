"""A process that is killed between erasing a key and destroying its material leaves no orphan."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from local_deployment import LocalDeployment
from softhsm import MODULE, PIN, new_token
from strongroom.clock import DAY, ManualClock
from strongroom.crypto.pkcs11 import constants as c
from strongroom.crypto.pkcs11.connection import TokenSession
from strongroom.settings import CloudHsmCluster

CLUSTER, LABEL = "cluster-aaaaaaaaaaa", "first"
KILLED = """
import os, signal, sys
from pathlib import Path
from test_destruction_kill import opened
from strongroom.clock import ManualClock
from strongroom.operations.kms import key_changes

def killed(*_):
    os.kill(os.getpid(), signal.SIGKILL)

key_changes.destroy_erased = killed
opened(Path(sys.argv[1]), ManualClock(float(sys.argv[2]))).deployment.keeper.run()
"""


def opened(folder: Path, clock: ManualClock) -> LocalDeployment:
    cluster = CloudHsmCluster(id=CLUSTER, module=str(MODULE), token=LABEL)
    return LocalDeployment(folder, clock, cloudhsm_clusters=(cluster,))


def objects(local: LocalDeployment, store_id: str) -> int:
    def work(session: TokenSession) -> int:
        return len(session.calls.ids_of({c.CKA_CLASS: c.CKO_SECRET_KEY, c.CKA_TOKEN: True}))

    clusters: Any = local.deployment.backends.clusters
    found: int = clusters.token_of("000000000000", "us-east-1", store_id, now=True).run(work)
    return found


def test_the_material_of_an_erased_key_is_destroyed_by_the_next_start(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in new_token(tmp_path, LABEL).items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "data"
    local = opened(folder, clock)
    asked = {"CloudHsmClusterId": CLUSTER, "KeyStorePassword": PIN, "TrustAnchorCertificate": "certificate"}
    store_id = local.call("CreateCustomKeyStore", CustomKeyStoreName="one", **asked)["CustomKeyStoreId"]
    local.call("ConnectCustomKeyStore", CustomKeyStoreId=store_id)
    keys = [
        local.call("CreateKey", Origin="AWS_CLOUDHSM", CustomKeyStoreId=store_id)["KeyMetadata"]["KeyId"]
        for _ in range(2)
    ]
    local.call("ScheduleKeyDeletion", KeyId=keys[0], PendingWindowInDays=7)
    clock.advance(8 * DAY)
    local.deployment.close()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    command = [sys.executable, "-c", KILLED, str(folder), str(clock.now())]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == -9, ended.stderr
    local = opened(folder, clock)
    assert objects(local, store_id) == 2
    assert [record["eventName"] for record in local.records()].count("DeleteKey") == 1
    local.deployment.keeper.run()
    assert objects(local, store_id) == 1
    assert local.call("Encrypt", KeyId=keys[1], Plaintext="eA==")
    assert local.deployment.keeper.counters.destroyed == 1
    local.deployment.close()
