"""What a reset removes."""

import os
from pathlib import Path

from msgspec.structs import replace

from local_deployment import LocalDeployment
from strongroom.clock import ManualClock
from strongroom.development.accounts import Accounts

entropy = os.urandom  # noqa: TID251 - the real thing


def test_a_reset_also_removes_the_keys_of_regions_that_are_not_served_any_more(tmp_path: Path) -> None:
    clock = ManualClock(1_790_000_000.0)
    local = LocalDeployment(tmp_path / "data", clock, ("us-east-1", "eu-west-1"))
    backends = local.deployment.backends
    account = local.settings.account
    for region in ("us-east-1", "eu-west-1"):
        local.call("CreateKey", region=region)
    Accounts(replace(backends, regions=("us-east-1",)), clock, entropy, account).empty()
    with backends.store.read() as reader:
        assert reader.keys_by_region() == {}
    local.deployment.close()
