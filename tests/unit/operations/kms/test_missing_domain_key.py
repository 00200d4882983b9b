"""A Region whose domain keys were removed from the database beneath a server."""

from contextlib import closing
from pathlib import Path

import pytest

from local_deployment import LocalDeployment, Refused
from strongroom.clock import ManualClock
from strongroom.store.protocol import Transaction


def test_no_key_is_made_and_no_defect_is_met(tmp_path: Path, clock: ManualClock) -> None:
    local = LocalDeployment(tmp_path / "data", clock)
    with closing(local.deployment):
        key_id = local.call("CreateKey")["KeyMetadata"]["KeyId"]
        local.call("Encrypt", KeyId=key_id, Plaintext="eA==")
        local.deployment.backends.store.write(remove_domain_keys)
        local.deployment.domain_keys.reread()
        with pytest.raises(
            Refused, match="KMSInternalException: No key material can be made in us-east-1: there is no"
        ):
            local.call("CreateKey")
        # What is loaded is still served, and another Region is as it was.
        local.call("Encrypt", KeyId=key_id, Plaintext="eA==")
        local.call("CreateKey", region="eu-west-1")


def remove_domain_keys(transaction: Transaction) -> None:
    transaction._connection.exec_driver_sql("DELETE FROM domain_key WHERE scope = 'us-east-1'")  # type: ignore[attr-defined]
