"""ARNs taken apart: real ones, and text that only looks like one."""

import pytest

from strongroom.arns import Arn, account_in, arn_fields, known_arn, parse_arn

ACCOUNT = "111122223333"


@pytest.mark.parametrize(
    ("text", "resource_type", "path", "name"),
    [
        (f"arn:aws:iam::{ACCOUNT}:user/ann", "user", "/", "ann"),
        (f"arn:aws:iam::{ACCOUNT}:user/staff/kms/ann", "user", "/staff/kms/", "ann"),
        (f"arn:aws:iam::{ACCOUNT}:root", "root", "/", ""),
        (f"arn:aws:iam::{ACCOUNT}:role/", "role", "/", ""),
        (f"arn:aws-cn:sts::{ACCOUNT}:assumed-role/app/session", "assumed-role", "/app/", "session"),
        (f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/mrk-1", "key", "/", "mrk-1"),
        (f"arn:aws:kms:eu-west-1:{ACCOUNT}:alias/a:b/c", "alias", "/a:b/", "c"),
        ("arn:aws:iam::aws:policy/AdministratorAccess", "policy", "/", "AdministratorAccess"),
    ],
)
def test_the_parts_of_a_resource(text: str, resource_type: str, path: str, name: str) -> None:
    arn = known_arn(text)
    assert (arn.resource_type, arn.resource_path, arn.resource_name) == (resource_type, path, name)
    assert str(arn) == text


def test_the_fields_of_an_arn() -> None:
    arn = parse_arn(f"arn:aws-us-gov:kms:us-gov-west-1:{ACCOUNT}:alias/one:two")
    assert arn == Arn("aws-us-gov", "kms", "us-gov-west-1", ACCOUNT, "alias/one:two")
    assert arn.resource_id == "one:two"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*",
        "arn",
        "arn:aws:iam",
        f"arn:aws:iam::{ACCOUNT}",
        f"ARN:aws:iam::{ACCOUNT}:root",
        " arn:a:b:c:d:e",
        "x:a:b:c:d:e",
    ],
)
def test_text_that_is_no_arn(text: str) -> None:
    assert parse_arn(text) is None
    assert account_in(text) == ""
    with pytest.raises(ValueError, match=r".*"):
        known_arn(text)


def test_a_pattern_for_arns_has_the_same_six_fields() -> None:
    assert arn_fields("*:aws:iam::*:role/a:b") == ["*", "aws", "iam", "", "*", "role/a:b"]
    assert arn_fields("*") is None
    assert parse_arn("*:aws:iam::*:role/a:b") is None
