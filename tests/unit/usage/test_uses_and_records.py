"""A use is noted before its record can reach the log: a mark behind the record then covers no use that is not noted."""

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

    def watch(line: bytes) -> None:
        use = uses.last(key)
        noted.append(use is not None and use.event_id.encode() in line)
        append(line)

    monkeypatch.setattr(log, "append", watch)
    local.call("Encrypt", KeyId=key.key_id, Plaintext="eA==")
    assert noted == [True]
    local.deployment.close()
