"""Unauthenticated requests leave audit records, but no more than a rate limit lets through."""

import logging

import pytest
from botocore.credentials import Credentials

from direct_client import DirectClient
from strongroom.service.unauthenticated import RecordRateLimit

NOW = 1_790_000_000.0


def test_a_thousand_at_once_and_twenty_a_second() -> None:
    limit = RecordRateLimit()
    assert sum(limit.take(NOW) for _ in range(5000)) == 1000
    assert sum(limit.take(NOW + 0.5) for _ in range(5000)) == 10
    # A clock that is set back gives nothing, and takes nothing.
    assert sum(limit.take(NOW - 1000) for _ in range(5000)) == 0
    assert sum(limit.take(NOW + 10_000) for _ in range(5000)) == 1000


def test_the_log_says_how_many_were_not_recorded(caplog: pytest.LogCaptureFixture) -> None:
    limit = RecordRateLimit()
    with caplog.at_level(logging.WARNING):
        for _ in range(1500):
            limit.take(NOW)
        assert len(caplog.messages) == 1
        limit.take(NOW + 60)
    assert caplog.messages[1:] == ["500 refused unauthenticated requests have no audit record"]


def test_the_log_says_so_without_a_further_request(caplog: pytest.LogCaptureFixture) -> None:
    limit = RecordRateLimit()
    with caplog.at_level(logging.WARNING):
        for _ in range(1500):
            limit.take(NOW)
        limit.settle(NOW + 1)
        assert len(caplog.messages) == 1
        limit.settle(NOW + 30)
        limit.settle(NOW + 31)
        limit.report()
        assert caplog.messages[1:] == ["500 refused unauthenticated requests have no audit record"]
        for _ in range(1500):
            limit.take(NOW + 31)
        limit.report()
    assert caplog.messages[3:] == ["880 refused unauthenticated requests have no audit record"]


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
