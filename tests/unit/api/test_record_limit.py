"""Requests that nobody vouches for leave records, as many as a disk can take."""

import logging

import pytest
from botocore.credentials import Credentials

from direct_client import DirectClient
from strongroom.api.record_limit import Ration

NOW = 1_790_000_000.0


def test_a_thousand_at_once_and_twenty_a_second() -> None:
    ration = Ration()
    assert sum(ration.take(NOW) for _ in range(5000)) == 1000
    assert sum(ration.take(NOW + 0.5) for _ in range(5000)) == 10
    # A clock that is set back gives nothing, and takes nothing.
    assert sum(ration.take(NOW - 1000) for _ in range(5000)) == 0
    assert sum(ration.take(NOW + 10_000) for _ in range(5000)) == 1000


def test_the_log_tells_how_many_had_none(caplog: pytest.LogCaptureFixture) -> None:
    ration = Ration()
    with caplog.at_level(logging.WARNING):
        for _ in range(1500):
            ration.take(NOW)
        assert len(caplog.messages) == 1
        ration.take(NOW + 60)
    assert caplog.messages[1:] == ["500 refused requests that nobody vouched for have no audit record"]


def test_the_log_tells_without_another_one(caplog: pytest.LogCaptureFixture) -> None:
    ration = Ration()
    with caplog.at_level(logging.WARNING):
        for _ in range(1500):
            ration.take(NOW)
        ration.settle(NOW + 1)
        assert len(caplog.messages) == 1
        ration.settle(NOW + 30)
        ration.settle(NOW + 31)
        ration.tell()
        assert caplog.messages[1:] == ["500 refused requests that nobody vouched for have no audit record"]
        for _ in range(1500):
            ration.take(NOW + 31)
        ration.tell()
    assert caplog.messages[3:] == ["880 refused requests that nobody vouched for have no audit record"]


def test_a_flood_of_forged_signatures_does_not_fill_the_disk(direct: DirectClient) -> None:
    forged = Credentials(direct.profile().access_key, "not the secret")
    request = direct.kms_request(forged, "ListKeys", {}, {})
    assert {direct.receive(request).error for _ in range(1200)} == {"InvalidSignatureException"}
    records = [each for each in direct.local.records() if each.get("errorCode") == "InvalidSignatureException"]
    assert len(records) == 1000
    # What is signed leaves its record as ever.
    assert direct.kms(direct.profile(), "ListKeys").status == 200
    assert direct.local.records()[-1]["eventName"] == "ListKeys"
    assert "errorCode" not in direct.local.records()[-1]
