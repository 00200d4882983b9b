"""How far a key policy reaches."""

import json
from collections.abc import Mapping

import pytest

from strongroom.iam import PolicyKind, parse_policy
from strongroom.iam.reach import Reach, reach_of

ROOT = "arn:aws:iam::000000000000:root"
ALICE, BOB = (f"arn:aws:iam::000000000000:user/{name}" for name in ("alice", "bob"))
USES = ("kms:Encrypt", "kms:Decrypt")


def statement(principal: object, action: object = "kms:*", **more: object) -> dict[str, object]:
    return {"Effect": "Allow", "Principal": principal, "Action": action, "Resource": "*", **more}


def reach(*statements: Mapping[str, object]) -> Reach:
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    return reach_of(parse_policy(document, PolicyKind.RESOURCE), USES)


IF = {"Condition": {"Bool": {"aws:SecureTransport": "true"}}}


@pytest.mark.parametrize(
    ("statements", "found"),
    [
        ([statement({"AWS": ROOT})], Reach(accounts=("000000000000",))),
        ([statement({"AWS": "111122223333"}, "KMS:d?crypt")], Reach(accounts=("111122223333",))),
        ([statement({"AWS": [ALICE, BOB]}), statement({"AWS": ALICE})], Reach(principals=(ALICE, BOB))),
        ([statement({"Service": "backup.amazonaws.com"})], Reach(principals=("backup.amazonaws.com",))),
        ([statement("*")], Reach(everyone=True)),
        ([statement({"AWS": "*"}, **IF)], Reach(everyone_if=True)),
        ([statement({"AWS": ALICE}, "kms:DescribeKey")], Reach()),
        ([statement({"AWS": ALICE}, Effect="Deny")], Reach()),
        ([{**statement({"AWS": ALICE}), "NotAction": "kms:Encrypt"}], Reach(principals=(ALICE,))),
        ([{**statement({"AWS": ALICE}), "NotAction": "kms:*"}], Reach()),
    ],
)
def test_the_reach_of_statements(statements: list[dict[str, object]], found: Reach) -> None:
    for each in statements:
        if "NotAction" in each:
            del each["Action"]
    assert reach(*statements) == found


def test_everyone_but_some_is_everyone_on_a_condition() -> None:
    wide = {name: value for name, value in statement("*").items() if name != "Principal"}
    assert reach({**wide, "NotPrincipal": {"AWS": ALICE}}) == Reach(everyone_if=True)
