"""A named CreateGrant that is repeated makes no second grant, under whatever name its principals are kept."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from local_deployment import LocalDeployment
from strongroom.clock import ManualClock
from strongroom.keys.arns import KeyLocator
from strongroom.keys.grants import Party
from strongroom.store.protocol import Transaction

ACCOUNT = "000000000000"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"


@pytest.fixture
def local(tmp_path: Path, clock: ManualClock) -> Iterator[LocalDeployment]:
    local = LocalDeployment(tmp_path / "data", clock)
    yield local
    local.deployment.close()


@pytest.mark.parametrize("principal", [ACCOUNT, ROOT])
def test_accounts_that_an_earlier_build_kept_as_their_ids(local: LocalDeployment, principal: str) -> None:
    key_id = local.call("CreateKey")["KeyMetadata"]["KeyId"]
    asked: dict[str, Any] = {"KeyId": key_id, "Operations": ["Encrypt"], "Name": "n"}
    asked |= {"GranteePrincipal": principal, "RetiringPrincipal": principal}
    granted = local.call("CreateGrant", **asked)["GrantId"]
    locator = KeyLocator(ACCOUNT, "us-east-1", key_id)

    def keep_as_before(transaction: Transaction) -> None:
        grant = transaction.grant(locator, granted)
        assert grant is not None
        assert grant.grantee == grant.retiring == Party(ROOT, ACCOUNT)
        transaction.remove_grant(grant)
        transaction.add_grant(replace(grant, grantee=Party(ACCOUNT, ACCOUNT), retiring=Party(ACCOUNT, ACCOUNT)))

    local.deployment.backends.store.write(keep_as_before)
    assert local.call("CreateGrant", **asked)["GrantId"] == granted
    assert len(local.call("ListGrants", KeyId=key_id)["Grants"]) == 1
    assert local.call("CreateGrant", **asked | {"Name": "m"})["GrantId"] != granted
