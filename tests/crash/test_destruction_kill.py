"""A process that is killed between its commit and its token leaves no orphan there.

Once it is killed after a key was erased and before its material is destroyed, and once after material, or the object of
a domain key, was made and before anything gets it.
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from domain_key_scene import rotate
from local_deployment import LocalDeployment, entropy
from softhsm import LABEL as TOKEN
from softhsm import MODULE, PIN, new_token, pin_file
from strongroom.assembly.hsm_status import hsm_status
from strongroom.assembly.unsealing import Unsealing
from strongroom.clock import DAY, ManualClock
from strongroom.settings import CloudHsmCluster
from token_objects import ids_of_secret_keys

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

MAKES_A_KEY = """
import os, signal, sys
from pathlib import Path
from test_destruction_kill import opened
from strongroom.clock import ManualClock
from strongroom.crypto.pkcs11.aes_keys import TokenAesKey

create = TokenAesKey.create

def killed(*arguments):
    create(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)

TokenAesKey.create = killed
local = opened(Path(sys.argv[1]), ManualClock(float(sys.argv[2])))
local.call("CreateKey", Origin="AWS_CLOUDHSM", CustomKeyStoreId=sys.argv[3])
"""
ROTATES = """
import os, signal, sys, time
from pathlib import Path
from test_destruction_kill import in_depth
from domain_key_scene import command
from strongroom.assembly import domain_key_rotation
from strongroom.clock import ManualClock

def killed(*_):
    os.kill(os.getpid(), signal.SIGKILL)

local = in_depth(Path(sys.argv[1]), ManualClock(float(sys.argv[2])), sys.argv[3])
domain_key_rotation.AnnouncedObjects.confirm = killed
with command(local) as opened:
    opened.domain_keys.begin(())
"""


def opened(folder: Path, clock: ManualClock) -> LocalDeployment:
    cluster = CloudHsmCluster(id=CLUSTER, module=str(MODULE), token=LABEL)
    return LocalDeployment(folder, clock, cloudhsm_clusters=(cluster,))


def in_depth(folder: Path, clock: ManualClock, protection: str) -> LocalDeployment:
    settings: dict[str, Any] = {"pkcs11_token": TOKEN, "pkcs11_pin_file": str(folder.parent / "pin")}
    return LocalDeployment(folder, clock, pkcs11_module=str(MODULE), key_protection=protection, **settings)


def left_in_token(local: LocalDeployment) -> list[str]:
    """Return the objects that are not ours, after a check that all of ours are there."""
    status = hsm_status(local.settings, local.clock, entropy, Unsealing(local.settings, entropy))
    assert all(each.there for each in status.domain_keys)
    assert all(each.destroyed_after is not None for each in status.other_objects)
    return [each.object_id for each in status.other_objects]


def killed(program: str, folder: Path, clock: ManualClock, *more: str) -> None:
    """Run a program on a data folder until it kills itself."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    command = [sys.executable, "-c", program, str(folder), str(clock.now()), *more]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == -9, ended.stderr


def connected_store(local: LocalDeployment) -> str:
    """Return the id of a new custom key store, which is connected to its cluster."""
    asked = {"CloudHsmClusterId": CLUSTER, "KeyStorePassword": PIN, "TrustAnchorCertificate": "certificate"}
    store_id: str = local.call("CreateCustomKeyStore", CustomKeyStoreName="one", **asked)["CustomKeyStoreId"]
    local.call("ConnectCustomKeyStore", CustomKeyStoreId=store_id)
    return store_id


def objects(local: LocalDeployment, store_id: str) -> int:
    clusters: Any = local.deployment.backends.clusters
    return len(clusters.token_of("000000000000", "us-east-1", store_id, now=True).run(ids_of_secret_keys))


def test_the_material_of_an_erased_key_is_destroyed_by_the_next_start(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in new_token(tmp_path, LABEL).items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "data"
    local = opened(folder, clock)
    store_id = connected_store(local)
    keys = [
        local.call("CreateKey", Origin="AWS_CLOUDHSM", CustomKeyStoreId=store_id)["KeyMetadata"]["KeyId"]
        for _ in range(2)
    ]
    local.call("ScheduleKeyDeletion", KeyId=keys[0], PendingWindowInDays=7)
    clock.advance(8 * DAY)
    local.deployment.close()
    killed(KILLED, folder, clock)
    local = opened(folder, clock)
    assert objects(local, store_id) == 2
    assert [record["eventName"] for record in local.records()].count("DeleteKey") == 1
    local.deployment.keeper.run()
    assert objects(local, store_id) == 1
    assert local.call("Encrypt", KeyId=keys[1], Plaintext="eA==")
    assert local.deployment.keeper.counters.destroyed == 1
    local.deployment.close()


def test_material_that_was_made_for_no_key_is_destroyed_an_hour_later(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in new_token(tmp_path, LABEL).items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "data"
    local = opened(folder, clock)
    store_id = connected_store(local)
    key_id = local.call("CreateKey", Origin="AWS_CLOUDHSM", CustomKeyStoreId=store_id)["KeyMetadata"]["KeyId"]
    local.deployment.close()
    killed(MAKES_A_KEY, folder, clock, store_id)
    local = opened(folder, clock)
    assert len(local.call("ListKeys")["Keys"]) == 1
    local.deployment.keeper.run()
    assert objects(local, store_id) == 2
    clock.advance(3601)
    local.deployment.keeper.run()
    assert objects(local, store_id) == 1
    assert local.call("Encrypt", KeyId=key_id, Plaintext="eA==")
    with local.deployment.backends.store.read() as reader:
        assert reader.destruction_backlog().count == 0
    local.deployment.close()


@pytest.mark.parametrize("protection", ["pkcs11-root", "pkcs11-full"])
def test_an_object_that_was_made_for_no_domain_key_is_destroyed_an_hour_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protection: str
) -> None:
    for name, value in new_token(tmp_path).items():
        monkeypatch.setenv(name, value)
    pin_file(tmp_path)
    folder = tmp_path / "data"
    clock = ManualClock(time.time())  # noqa: TID251 - files have the real time
    local = in_depth(folder, clock, protection)
    key_id = local.call("CreateKey")["KeyMetadata"]["KeyId"]
    blob = local.call("Encrypt", KeyId=key_id, Plaintext="eA==")["CiphertextBlob"]
    local.deployment.close()
    killed(ROTATES, folder, clock, protection)
    local = in_depth(folder, clock, protection)
    assert len(left_in_token(local)) == 2
    # The next rotation makes a domain key of the version for which these were made.
    rotate(local)
    local.deployment.keeper.run()
    assert len(left_in_token(local)) == 2
    clock.advance(3601)
    local.deployment.keeper.run()
    assert left_in_token(local) == []
    assert local.call("Decrypt", CiphertextBlob=blob)["Plaintext"] == "eA=="
    assert local.call("CreateKey")
    local.deployment.close()
