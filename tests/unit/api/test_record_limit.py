"""The rate limit on audit records of unauthenticated requests, which protects the disk."""

import logging

import pytest
from botocore.credentials import Credentials

from direct_client import DirectClient
from strongroom.api.record_limit import Ration

NOW = 1_790_000_000.0


def test_a_burst_of_1000_records_and_20_a_second_are_allowed() -> None:
    ration = Ration()
    assert sum(ration.take(NOW) for _ in range(5000)) == 1000
    assert sum(ration.take(NOW + 0.5) for _ in range(5000)) == 10
    # A clock that is set back adds no tokens, and removes none.
    assert sum(ration.take(NOW - 1000) for _ in range(5000)) == 0
    assert sum(ration.take(NOW + 10_000) for _ in range(5000)) == 1000


def test_the_number_of_unrecorded_requests_is_logged_with_the_next_record(caplog: pytest.LogCaptureFixture) -> None:
    ration = Ration()
    with caplog.at_level(logging.WARNING):
        for _ in range(1500):
            ration.take(NOW)
        assert len(caplog.messages) == 1
        ration.take(NOW + 60)
    assert caplog.messages[1:] == ["500 refused requests that nobody vouched for have no audit record"]


def test_the_number_of_unrecorded_requests_is_logged_without_a_next_record(caplog: pytest.LogCaptureFixture) -> None:
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


def test_a_flood_of_forged_signatures_leaves_1000_records(direct: DirectClient) -> None:
    forged = Credentials(direct.profile().access_key, "not the secret")
    request = direct.kms_request(forged, "ListKeys", {}, {})
    assert {direct.receive(request).error for _ in range(1200)} == {"InvalidSignatureException"}
    records = [each for each in direct.local.records() if each.get("errorCode") == "InvalidSignatureException"]
    assert len(records) == 1000
    # Authenticated calls are always recorded.
    assert direct.kms(direct.profile(), "ListKeys").status == 200
    assert direct.local.records()[-1]["eventName"] == "ListKeys"
    assert "errorCode" not in direct.local.records()[-1]
