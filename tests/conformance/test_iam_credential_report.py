"""The credential report, fetched as audit programs do."""

import csv
from typing import Any

import pytest

from accounts import Account
from client_errors import error_with_status
from local_server import RunningServer


@pytest.fixture
def other(server: RunningServer) -> Account:
    """Return an account without a report."""
    return Account(server, "555566667777")


def test_a_report_is_generated_and_fetched(other: Account) -> None:
    iam: Any = other.iam
    assert error_with_status(410, iam.get_credential_report) == {
        "Code": "ReportNotPresent",
        "Message": "The credential report does not exist. To generate one, use GenerateCredentialReport.",
    }
    user = iam.create_user(UserName="alice")["User"]
    key = iam.create_access_key(UserName="alice")["AccessKey"]
    while iam.generate_credential_report()["State"] != "COMPLETE":
        pass
    report = iam.get_credential_report()
    assert report["ReportFormat"] == "text/csv"
    root, alice = csv.DictReader(report["Content"].decode().splitlines())
    assert (root["user"], root["arn"]) == ("<root_account>", "arn:aws:iam::555566667777:root")
    assert (alice["user"], alice["arn"]) == ("alice", user["Arn"])
    assert alice["user_creation_time"] == user["CreateDate"].isoformat()
    assert (alice["access_key_1_active"], alice["access_key_1_last_rotated"]) == ("true", key["CreateDate"].isoformat())
    # The secret is nowhere in it.
    assert key["SecretAccessKey"].encode() not in report["Content"]
    # It stays the same until it expires.
    iam.create_user(UserName="bob")
    assert iam.generate_credential_report()["State"] == "COMPLETE"
    again = iam.get_credential_report()
    assert (again["Content"], again["GeneratedTime"]) == (report["Content"], report["GeneratedTime"])
