"""A database that was rolled back and is accepted: what it knows of objects that were being made."""

import shutil
from contextlib import closing
from pathlib import Path

from local_deployment import LocalDeployment, entropy
from strongroom.assembly.database_history import accept_older
from strongroom.assembly.open_folder import OpenFolder
from strongroom.assembly.restored_objects import shared_objects
from strongroom.clock import ManualClock
from strongroom.crypto.material import MaterialBinding
from strongroom.keys.specs import KeySpec
from strongroom.store.protocol import Transaction
from strongroom.store.subjects.destructions import ErasedDomainKey, ErasedMaterial


def test_what_a_missing_commit_may_have_given_to_a_key_is_not_destroyed(tmp_path: Path, clock: ManualClock) -> None:
    local = LocalDeployment(tmp_path / "data", clock)
    owner = MaterialBinding("000000000000", "us-east-1", "key", "ab" * 32, KeySpec.SYMMETRIC_DEFAULT)
    gone = ErasedMaterial(None, b"erased", owner)
    made = ErasedMaterial(None, b"made", owner, uncommitted=True)
    object_made = ErasedDomainKey("us-east-1", 2, "cd" * 16, uncommitted=True)

    def add(transaction: Transaction) -> None:
        for each in (gone, made, object_made):
            transaction.add_destruction(each, clock.now() + 3600)

    local.deployment.backends.store.write(add)
    local.deployment.close()
    older = tmp_path / "older.db"
    shutil.copy2(local.folder / "strongroom.db", older)
    local.reopen()
    local.call("CreateKey")
    local.deployment.close()
    for each in local.folder.glob("strongroom.db-w*"):
        each.unlink()
    shutil.copy2(older, local.folder / "strongroom.db")
    with closing(OpenFolder(local.settings, clock, entropy, also_older=True)) as opened:
        accept_older(opened.folder, opened.store, opened.trail, entropy)
        with opened.store.read() as reader:
            assert [each.erased for each in reader.destructions(float("inf"), 10)] == [gone]
        assert shared_objects(opened.folder, opened.store) == {bytes.fromhex(object_made.object_id)}
