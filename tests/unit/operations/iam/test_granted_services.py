"""Which services a policy allows something of."""

import pytest

from policies import Json, allow, deny, document
from strongroom.operations.iam.granted_services import granted

ALL = {"iam", "kms", "sts"}


def unlike(*actions: str) -> Json:
    return {"Effect": "Allow", "NotAction": list(actions), "Resource": "*"}


@pytest.mark.parametrize(
    ("statements", "services"),
    [
        ([allow(do="*")], ALL),
        ([allow(do="kms:Encrypt")], {"kms"}),
        ([allow(do=["KMS:enc*", "sts:*"])], {"kms", "sts"}),
        ([allow(do="s3:GetObject")], set()),
        ([allow(do="kms:*"), deny(do="*")], {"kms"}),
        ([deny(do="kms:*")], set()),
        ([unlike("iam:*")], {"kms", "sts"}),
        ([unlike("iam:CreateUser", "kms:**")], {"iam", "sts"}),
        ([unlike("*")], set()),
        ([unlike("s3:*")], ALL),
        ([unlike("iam:*"), allow(do="iam:GetUser")], ALL),
    ],
)
def test_the_services_that_statements_allow(statements: list[Json], services: set[str]) -> None:
    assert granted([document(*statements)]) == services


def test_policies_add_up() -> None:
    assert granted([]) == set()
    assert granted([document(allow(do="kms:Sign")), document(allow(do="sts:AssumeRole"))]) == {"kms", "sts"}
