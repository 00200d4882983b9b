"""The quota of grants on one key, made small."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deployments import Bench, Refused
from strongroom.clock import ManualClock

ACCOUNT = "000000000000"


@pytest.fixture
def bench(tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr("strongroom.operations.kms.grants.MAX_GRANTS", 2)
    bench = Bench(tmp_path / "data", clock)
    yield bench
    bench.deployment.close()


def test_a_key_can_have_so_many_grants_and_a_retry_is_not_one_more(bench: Bench) -> None:
    key_id = bench.call("CreateKey")["KeyMetadata"]["KeyId"]
    asked: dict[str, Any] = {"KeyId": key_id, "GranteePrincipal": ACCOUNT, "Operations": ["Encrypt"]}
    named = bench.call("CreateGrant", **asked, Name="n")["GrantId"]
    bench.call("CreateGrant", **asked)
    for more in ({}, {"Name": "m"}, {"DryRun": True}):
        with pytest.raises(Refused) as caught:
            bench.call("CreateGrant", **asked, **more)
        assert (caught.value.status, caught.value.code) == (400, "LimitExceededException")
    assert bench.call("CreateGrant", **asked, Name="n")["GrantId"] == named
    bench.call("CreateGrant", **{**asked, "KeyId": bench.call("CreateKey")["KeyMetadata"]["KeyId"]})
    bench.call("RevokeGrant", KeyId=key_id, GrantId=named)
    assert bench.call("CreateGrant", **asked)["GrantId"] != named
