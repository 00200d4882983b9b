"""A use is noted before its record reaches the audit log. So a mark after the record covers only noted uses."""

from pathlib import Path

import pytest

from local_deployment import LocalDeployment
from strongroom.clock import ManualClock
from strongroom.keys.arns import KeyLocator


def test_a_use_is_noted_before_its_record_is_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local = LocalDeployment(tmp_path / "data", ManualClock(1_790_000_000.0))
    key = KeyLocator("000000000000", "us-east-1", local.call("CreateKey")["KeyMetadata"]["KeyId"])
    log, uses = local.deployment.log, local.deployment.backends.key_uses
    append, noted = log.append, []

    def append_and_check(line: bytes) -> None:
        use = uses.last(key)
        noted.append(use is not None and use.event_id.encode() in line)
        append(line)

    monkeypatch.setattr(log, "append", append_and_check)
    local.call("Encrypt", KeyId=key.key_id, Plaintext="eA==")
    assert noted == [True]
    local.deployment.close()
