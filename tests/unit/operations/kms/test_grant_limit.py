"""The quota of grants on one key, with a small limit."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local_deployment import LocalDeployment, Refused
from strongroom.clock import ManualClock

ACCOUNT = "000000000000"


@pytest.fixture
def local(tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalDeployment]:
    monkeypatch.setattr("strongroom.operations.kms.grants.MAX_GRANTS", 2)
    local = LocalDeployment(tmp_path / "data", clock)
    yield local
    local.deployment.close()


def test_the_quota_of_grants_does_not_count_retries_twice(local: LocalDeployment) -> None:
    key_id = local.call("CreateKey")["KeyMetadata"]["KeyId"]
    asked: dict[str, Any] = {"KeyId": key_id, "GranteePrincipal": ACCOUNT, "Operations": ["Encrypt"]}
    named = local.call("CreateGrant", **asked, Name="n")["GrantId"]
    local.call("CreateGrant", **asked)
    for more in ({}, {"Name": "m"}, {"DryRun": True}):
        with pytest.raises(Refused) as caught:
            local.call("CreateGrant", **asked, **more)
        assert (caught.value.status, caught.value.code) == (400, "LimitExceededException")
    assert local.call("CreateGrant", **asked, Name="n")["GrantId"] == named
    local.call("CreateGrant", **{**asked, "KeyId": local.call("CreateKey")["KeyMetadata"]["KeyId"]})
    local.call("RevokeGrant", KeyId=key_id, GrantId=named)
    assert local.call("CreateGrant", **asked)["GrantId"] != named
