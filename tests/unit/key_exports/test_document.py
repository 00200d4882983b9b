"""Exports of keys as documents, and the accounts in them."""

import json

import pytest

from strongroom.key_exports.accounts import name_for, policy_for
from strongroom.key_exports.document import ExportedGrant, ExportedKey, ExportError, KeyExport, decode, encode
from strongroom.keys.specs import KeySpec, KeyUsage
from strongroom.keys.states import KeyState

SOURCE, TARGET = "111122223333", "444455556666"
ARN = f"arn:aws:kms:us-east-1:{SOURCE}:key/bc436485-5092-42b8-92a3-0aa8b93536dc"
KEY = ExportedKey(
    arn=ARN,
    key_spec=KeySpec.SYMMETRIC_DEFAULT,
    key_usage=KeyUsage.ENCRYPT_DECRYPT,
    key_state=KeyState.ENABLED,
    policy="{}",
    tags={"team": "a"},
    aliases=("alias/orders",),
    grants=(ExportedGrant(grant_id="g", grantee_principal=f"arn:aws:iam::{SOURCE}:role/app", operations=("Decrypt",)),),
    unread={"Rotation": "AWS answers AccessDeniedException"},
)
EXPORT = KeyExport(account=SOURCE, region="us-east-1", keys=(KEY,))


def test_a_document_is_read_as_it_was_written() -> None:
    content = encode(EXPORT)
    assert decode(content, "export.json") == EXPORT
    assert json.loads(content)["Keys"][0]["KeySpec"] == "SYMMETRIC_DEFAULT"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "`export.json` is no export of keys: "),
        (b"\xff", "`export.json` is no export of keys: "),
        (b"{}", "`export.json` is no export of keys: Object missing required field `Account`"),
        (encode(EXPORT).replace(b"SYMMETRIC_DEFAULT", b"DES"), "Invalid enum value 'DES'"),
        (encode(EXPORT).replace(b'"GrantId"', b'"constraints": {}, "GrantId"'), "unknown field `constraints`"),
        (encode(EXPORT).replace(b'"KeyState"', b'"PrimaryArn": "x", "KeyState"'), "`x` is no ARN"),
        (encode(EXPORT).replace(b'"KeyState"', b'"RotationPeriodInDays": 89, "KeyState"'), "Expected `int` >= 90"),
        (encode(EXPORT).replace(b'"KeyState"', b'"New": %s, "KeyState"' % (b"[" * 9999)), "is no export of keys: "),
        (encode(EXPORT).replace(ARN.encode(), b"orders"), "`orders` is no ARN"),
        (encode(EXPORT).replace(b'"StrongroomKeyExport": 1', b'"StrongroomKeyExport": 2'), "is of version 2"),
    ],
)
def test_what_is_no_document(content: bytes, message: str) -> None:
    with pytest.raises(ExportError) as refused:
        decode(content, "export.json")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "moved"),
    [
        (SOURCE, TARGET),
        (f"arn:aws:iam::{SOURCE}:role/app", f"arn:aws:iam::{TARGET}:role/app"),
        (ARN, ARN.replace(SOURCE, TARGET)),
        ("arn:aws:iam::777788889999:root", "arn:aws:iam::777788889999:root"),
        ("s3.us-east-1.amazonaws.com", "s3.us-east-1.amazonaws.com"),
        (f"team-{SOURCE}", f"team-{SOURCE}"),
        ("*", "*"),
    ],
)
def test_the_account_in_a_name(name: str, moved: str) -> None:
    assert name_for(name, SOURCE, TARGET) == moved


def test_the_account_in_a_policy() -> None:
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": [SOURCE, f"arn:aws:iam::{SOURCE}:root"]},
        "Action": "kms:*",
        "Resource": "*",
        "Condition": {"StringEquals": {"kms:CallerAccount": SOURCE, "aws:PrincipalTag/n": "1"}, "Bool": {"a:b": True}},
    }
    text = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    assert json.loads(policy_for(text, SOURCE, TARGET)) == json.loads(text.replace(SOURCE, TARGET))
    assert policy_for(text, SOURCE, SOURCE) is text


def test_an_encryption_context_in_a_policy_stays() -> None:
    def policy(account: str) -> str:
        condition = {"kms:EncryptionContext:customer": SOURCE, "kms:CallerAccount": account}
        return json.dumps({"Statement": [{"Condition": {"StringEquals": condition}}]})

    assert json.loads(policy_for(policy(SOURCE), SOURCE, TARGET)) == json.loads(policy(TARGET))
