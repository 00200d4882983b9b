"""The credential report: what it says of each user, and how long it lasts."""

import base64
import csv
import io
from pathlib import Path
from typing import Any

from botocore.credentials import Credentials

from direct_client import DirectClient
from local_deployment import LocalDeployment
from strongroom.clock import ManualClock
from strongroom.iam.entities import User
from strongroom.store.protocol import Transaction

ACCOUNT = "000000000000"
MADE, LATER = "2026-09-21T14:13:20+00:00", "2026-09-21T14:23:20+00:00"
NO_PASSWORD = "false,N/A,N/A,N/A"
NO_KEY = "false,N/A,N/A,N/A,N/A"
NO_CERTIFICATES = "false,N/A,false,N/A"


def generate(direct: DirectClient) -> None:
    assert direct.query(direct.profile(), "iam", "GenerateCredentialReport").field("State") == "COMPLETE"


def content(direct: DirectClient) -> str:
    answer = direct.query(direct.profile(), "iam", "GetCredentialReport")
    assert answer.field("ReportFormat") == "text/csv"
    return base64.b64decode(answer.field("Content")).decode()


def new_key(direct: DirectClient, name: str) -> Credentials:
    made = direct.query(direct.profile(), "iam", "CreateAccessKey", UserName=name)
    return Credentials(made.field("AccessKeyId"), made.field("SecretAccessKey"))


def test_a_report_has_the_root_and_every_user(direct: DirectClient) -> None:
    root = direct.profile()
    for name, path in (("bob", "/staff/"), ("Alice,+=.@-", "/"), ("carol", "/")):
        assert direct.query(root, "iam", "CreateUser", UserName=name, Path=path).status == 200
    first = new_key(direct, "bob")
    direct.local.clock.advance(600)
    second = new_key(direct, "bob")
    disabled: Any = {"UserName": "bob", "AccessKeyId": str(first.access_key), "Status": "Inactive"}
    direct.query(second, "sts", "GetCallerIdentity").field("Arn")
    assert direct.query(root, "iam", "UpdateAccessKey", **disabled).status == 200
    direct.local.deployment.keeper.run()
    generate(direct)
    header, of_root, *of_users = content(direct).split("\n")
    assert header == (
        "user,arn,user_creation_time,password_enabled,password_last_used,password_last_changed,"
        "password_next_rotation,mfa_active,"
        "access_key_1_active,access_key_1_last_rotated,access_key_1_last_used_date,access_key_1_last_used_region,"
        "access_key_1_last_used_service,"
        "access_key_2_active,access_key_2_last_rotated,access_key_2_last_used_date,access_key_2_last_used_region,"
        "access_key_2_last_used_service,"
        "cert_1_active,cert_1_last_rotated,cert_2_active,cert_2_last_rotated"
    )
    assert of_root == (
        f"<root_account>,arn:aws:iam::{ACCOUNT}:root,{MADE},not_supported,no_information,not_supported,not_supported,"
        f"false,true,{MADE},{LATER},us-east-1,iam,{NO_KEY},{NO_CERTIFICATES}"
    )
    comma, bob, carol = of_users
    assert comma.startswith('"Alice,+=.@-",')
    assert comma.endswith(f',+=.@-",{MADE},{NO_PASSWORD},false,{NO_KEY},{NO_KEY},{NO_CERTIFICATES}')
    assert bob == (
        f"bob,arn:aws:iam::{ACCOUNT}:user/staff/bob,{MADE},{NO_PASSWORD},false,"
        f"false,{MADE},N/A,N/A,N/A,true,{LATER},{LATER},us-east-1,sts,{NO_CERTIFICATES}"
    )
    assert carol.startswith(f"carol,arn:aws:iam::{ACCOUNT}:user/carol,{MADE},{NO_PASSWORD},false,{NO_KEY},")


def test_a_report_lasts_four_hours(direct: DirectClient) -> None:
    root, clock = direct.profile(), direct.local.clock
    answer = direct.query(root, "iam", "GetCredentialReport")
    assert (answer.status, answer.error) == (410, "ReportNotPresent")
    generate(direct)
    first = content(direct)
    direct.query(root, "iam", "CreateUser", UserName="alice").field("Arn")
    clock.advance(4 * 3600 - 1)
    generate(direct)
    assert content(direct) == first
    clock.advance(1)
    answer = direct.query(root, "iam", "GetCredentialReport")
    assert (answer.status, answer.error) == (410, "ReportExpired")
    generate(direct)
    assert "\nalice," in content(direct)


def test_a_report_from_the_far_future_is_replaced(direct: DirectClient) -> None:
    direct.local.clock.advance(365 * 86_400)
    generate(direct)
    direct.local.clock.step(-365 * 86_400)
    answer = direct.query(direct.profile(), "iam", "GetCredentialReport")
    assert (answer.status, answer.error) == (410, "ReportExpired")
    generate(direct)
    assert content(direct).startswith("user,arn,")


def test_a_report_outlives_the_server(tmp_path: Path, clock: ManualClock) -> None:
    reports = []
    for _ in range(2):
        local = LocalDeployment(tmp_path / "data", clock)
        generate(DirectClient(local))
        reports.append(content(DirectClient(local)))
        DirectClient(local).query(DirectClient(local).profile(), "iam", "CreateUser", UserName="alice")
        local.deployment.close()
    assert reports[0] == reports[1]


def test_a_report_on_thousands_of_users(direct: DirectClient) -> None:
    users = [
        User(account=ACCOUNT, name=f"user-{number:05}", unique_id=f"AIDA{number:05}", created_at=0.0)
        for number in range(3001)
    ]

    def add(transaction: Transaction) -> None:
        for user in users:
            transaction.put_entity(user)

    direct.local.deployment.backends.store.write(add)
    generate(direct)
    rows = list(csv.DictReader(io.StringIO(content(direct))))
    assert [row["user"] for row in rows] == ["<root_account>", *(user.name for user in users)]
