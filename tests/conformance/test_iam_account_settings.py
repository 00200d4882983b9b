"""The alias and the password policy of an account."""

from typing import Any

import pytest

from accounts import Account
from client_errors import error_with_status
from local_server import RunningServer


@pytest.fixture(scope="module")
def mine(server: RunningServer) -> Account:
    return Account(server, "222233334444")


@pytest.fixture(scope="module")
def theirs(server: RunningServer) -> Account:
    return Account(server, "222233335555")


def test_an_alias_is_one_accounts(mine: Account, theirs: Account) -> None:
    assert mine.iam.list_account_aliases()["AccountAliases"] == []
    mine.iam.create_account_alias(AccountAlias="my-company")
    answer = mine.iam.list_account_aliases()
    assert (answer["AccountAliases"], answer["IsTruncated"]) == (["my-company"], False)
    taken = {"Code": "EntityAlreadyExists", "Message": "The account alias my-company already exists."}
    for account in (theirs, mine):
        assert error_with_status(409, account.iam.create_account_alias, AccountAlias="my-company") == taken
    assert theirs.iam.list_account_aliases()["AccountAliases"] == []
    # A new alias replaces the old one, which is free then.
    mine.iam.create_account_alias(AccountAlias="my-company-2")
    assert mine.iam.list_account_aliases()["AccountAliases"] == ["my-company-2"]
    theirs.iam.create_account_alias(AccountAlias="my-company")
    assert error_with_status(404, mine.iam.delete_account_alias, AccountAlias="my-company") == {
        "Code": "NoSuchEntity",
        "Message": "The account alias my-company cannot be found.",
    }
    theirs.iam.delete_account_alias(AccountAlias="my-company")
    assert theirs.iam.list_account_aliases()["AccountAliases"] == []
    mine.iam.delete_account_alias(AccountAlias="my-company-2")
    refusal = error_with_status(404, mine.iam.delete_account_alias, AccountAlias="my-company-2")
    assert refusal["Code"] == "NoSuchEntity"


@pytest.mark.parametrize("alias", ["", "ab", "-ab", "ab-", "a--b", "Abc", "a_b", "a.b", "a" * 64, "abc\n"])
def test_aliases_that_are_not_valid(mine: Account, alias: str) -> None:
    assert error_with_status(400, mine.iam.create_account_alias, AccountAlias=alias)["Code"] == "ValidationError"


def test_the_password_policy_is_kept_as_it_was_written(mine: Account, theirs: Account) -> None:
    missing = {
        "Code": "NoSuchEntity",
        "Message": f"The Password Policy with domain name {mine.account} cannot be found.",
    }
    for call in (mine.iam.get_account_password_policy, mine.iam.delete_account_password_policy):
        assert error_with_status(404, call) == missing
    asked: dict[str, Any] = {
        "MinimumPasswordLength": 14,
        "RequireSymbols": True,
        "RequireNumbers": True,
        "RequireUppercaseCharacters": True,
        "RequireLowercaseCharacters": True,
        "AllowUsersToChangePassword": True,
        "MaxPasswordAge": 90,
        "PasswordReusePrevention": 24,
        "HardExpiry": False,
    }
    mine.iam.update_account_password_policy(**asked)
    shown = mine.iam.get_account_password_policy()["PasswordPolicy"]
    assert shown == {**asked, "ExpirePasswords": True}
    assert error_with_status(404, theirs.iam.get_account_password_policy)["Code"] == "NoSuchEntity"
    # What is left out the next time goes back to its default.
    mine.iam.update_account_password_policy(RequireNumbers=True)
    assert mine.iam.get_account_password_policy()["PasswordPolicy"] == {
        "MinimumPasswordLength": 6,
        "RequireSymbols": False,
        "RequireNumbers": True,
        "RequireUppercaseCharacters": False,
        "RequireLowercaseCharacters": False,
        "AllowUsersToChangePassword": False,
        "ExpirePasswords": False,
    }
    mine.iam.create_account_alias(AccountAlias="kept-apart")
    mine.iam.delete_account_password_policy()
    assert error_with_status(404, mine.iam.get_account_password_policy) == missing
    assert mine.iam.list_account_aliases()["AccountAliases"] == ["kept-apart"]


@pytest.mark.parametrize(
    "request_",
    [
        {"MinimumPasswordLength": 5},
        {"MinimumPasswordLength": 129},
        {"MaxPasswordAge": 0},
        {"MaxPasswordAge": 1096},
        {"PasswordReusePrevention": 25},
    ],
)
def test_policies_that_are_not_valid(mine: Account, request_: dict[str, Any]) -> None:
    refusal = error_with_status(400, mine.iam.update_account_password_policy, **request_)
    assert refusal["Code"] == "ValidationError"
