import pytest

from strongroom.errors import InvalidArnException, KmsError, NotFoundException
from strongroom.keys.arns import AliasLocator, KeyIdForms, KeyLocator, parse_key_id, partition

ACCOUNT = "111122223333"
REGION = "us-east-1"
ID = "1234abcd-12ab-34cd-56ef-1234567890ab"
MRK = "mrk-1234abcd12ab34cd56ef1234567890ab"
KEY = KeyLocator(ACCOUNT, REGION, ID)
ALIAS = AliasLocator(ACCOUNT, REGION, "alias/team/x")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ID, KEY),
        (MRK, KeyLocator(ACCOUNT, REGION, MRK)),
        (f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{ID}", KEY),
        (f"arn:aws:kms:{REGION}:444455556666:key/{ID}", KeyLocator("444455556666", REGION, ID)),
        ("alias/team/x", ALIAS),
        (f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/team/x", ALIAS),
    ],
)
def test_the_four_forms_of_a_key_id(text: str, expected: KeyLocator | AliasLocator) -> None:
    assert parse_key_id(text, ACCOUNT, REGION, KeyIdForms.ANY) == expected


@pytest.mark.parametrize(
    ("text", "refusal", "message"),
    [
        ("xyz", NotFoundException, "Invalid keyId 'xyz'"),
        (ID.upper(), NotFoundException, f"Invalid keyId '{ID.upper()}'"),
        (f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/{ID}", NotFoundException, "Invalid arn eu-west-1"),
        (f"arn:aws-cn:kms:{REGION}:{ACCOUNT}:key/{ID}", NotFoundException, f"Invalid arn {REGION}"),
        (f"arn:aws:kms:{REGION}:{ACCOUNT}:key/nonsense", NotFoundException, "Invalid keyId 'nonsense'"),
        ("arn:aws:s3:::bucket", InvalidArnException, "Invalid arn arn:aws:s3:::bucket"),
        ("arn:", InvalidArnException, "Invalid arn arn:"),
    ],
)
def test_an_invalid_key_id_is_refused(text: str, refusal: type[KmsError], message: str) -> None:
    with pytest.raises(refusal) as caught:
        parse_key_id(text, ACCOUNT, REGION, KeyIdForms.ANY)
    assert caught.value.message == message


@pytest.mark.parametrize("text", ["alias/x", f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/x"])
def test_an_alias_is_refused_where_only_keys_are_accepted(text: str) -> None:
    with pytest.raises(InvalidArnException, match="Key Aliases are not supported for this operation"):
        parse_key_id(text, ACCOUNT, REGION, KeyIdForms.KEY_ONLY)


def test_the_partition_of_a_region() -> None:
    assert [partition(region) for region in ("eu-west-1", "cn-north-1", "us-gov-west-1")] == [
        "aws",
        "aws-cn",
        "aws-us-gov",
    ]
    assert KeyLocator(ACCOUNT, "cn-north-1", ID).arn == f"arn:aws-cn:kms:cn-north-1:{ACCOUNT}:key/{ID}"
