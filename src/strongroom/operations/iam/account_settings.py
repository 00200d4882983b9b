"""The settings of an account: its alias and its password policy.

Neither has an effect here, because there is no console to sign in to. They are kept for the tools that set and audit
them.
"""

from typing import Annotated

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from strongroom.errors import EntityAlreadyExistsException, NoSuchEntityException
from strongroom.operations.context import Context
from strongroom.operations.iam.entities import required_account
from strongroom.operations.iam.shapes import PagedRequest, PagedResponse
from strongroom.operations.shapes import Empty, Request, Response, matching
from strongroom.store.protocol import Transaction
from strongroom.store.records import AccountRecord, PasswordPolicy
from strongroom.store.scopes import AccountScope
from strongroom.store.subjects.identities import IdentityReader

AccountAlias = Annotated[str, Meta(min_length=3, max_length=63), matching(r"^[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]$")]
MinimumLength = Annotated[int, Meta(ge=6, le=128)]
MaxAge = Annotated[int, Meta(ge=1, le=1095)]
ReusePrevention = Annotated[int, Meta(ge=1, le=24)]


class AccountAliasRequest(Request):
    """The request of CreateAccountAlias and DeleteAccountAlias."""

    account_alias: AccountAlias


class ListAccountAliasesRequest(PagedRequest):
    """The request of ListAccountAliases."""


class ListAccountAliasesResponse(PagedResponse, kw_only=True):
    """The response of ListAccountAliases: one alias or none."""

    account_aliases: list[str]


class UpdateAccountPasswordPolicyRequest(Request, rename="pascal"):
    """The request of UpdateAccountPasswordPolicy. What is left out gets its default."""

    minimum_password_length: MinimumLength = 6
    require_symbols: bool = False
    require_numbers: bool = False
    require_uppercase_characters: bool = False
    require_lowercase_characters: bool = False
    allow_users_to_change_password: bool = False
    max_password_age: MaxAge | None = None
    password_reuse_prevention: ReusePrevention | None = None
    hard_expiry: bool | None = None


class PasswordPolicyRequest(Request):
    """The request of GetAccountPasswordPolicy and DeleteAccountPasswordPolicy, which has no parameters."""


class PasswordPolicyShape(msgspec.Struct, rename="pascal", frozen=True, kw_only=True):
    """A password policy in a response."""

    minimum_password_length: int
    require_symbols: bool
    require_numbers: bool
    require_uppercase_characters: bool
    require_lowercase_characters: bool
    allow_users_to_change_password: bool
    expire_passwords: bool
    max_password_age: int | None
    password_reuse_prevention: int | None
    hard_expiry: bool | None


class GetAccountPasswordPolicyResponse(Response):
    """The response of GetAccountPasswordPolicy."""

    password_policy: PasswordPolicyShape


def create_account_alias(context: Context, request: AccountAliasRequest) -> Empty:
    """Give the account an alias, instead of the one it has; raises EntityAlreadyExistsException."""

    def set_alias(transaction: Transaction) -> None:
        if transaction.account_with_alias(request.account_alias) is not None:
            raise EntityAlreadyExistsException(f"The account alias {request.account_alias} already exists.")
        transaction.save_account(replace(_account(transaction, context), alias=request.account_alias))

    # Aliases are unique over all accounts, so the list of accounts is what this checks.
    context.backends.store.write(set_alias, AccountScope(""), AccountScope(context.caller.account))
    return Empty()


def delete_account_alias(context: Context, request: AccountAliasRequest) -> Empty:
    """Take the account's alias away; raises NoSuchEntityException if it has another one, or none."""

    def remove_alias(transaction: Transaction) -> None:
        account = _account(transaction, context)
        if account.alias != request.account_alias:
            raise NoSuchEntityException(f"The account alias {request.account_alias} cannot be found.")
        transaction.save_account(replace(account, alias=None))

    context.backends.store.write(remove_alias, AccountScope(context.caller.account))
    return Empty()


def list_account_aliases(context: Context, _request: ListAccountAliasesRequest) -> ListAccountAliasesResponse:
    """Return the account's alias."""
    with context.read() as reader:
        alias = _account(reader, context).alias
    return ListAccountAliasesResponse(account_aliases=[] if alias is None else [alias])


def update_account_password_policy(context: Context, request: UpdateAccountPasswordPolicyRequest) -> Empty:
    """Replace the account's password policy as a whole."""
    policy = PasswordPolicy(
        minimum_length=request.minimum_password_length,
        require_symbols=request.require_symbols,
        require_numbers=request.require_numbers,
        require_uppercase=request.require_uppercase_characters,
        require_lowercase=request.require_lowercase_characters,
        users_may_change=request.allow_users_to_change_password,
        max_age_days=request.max_password_age,
        reuse_prevention=request.password_reuse_prevention,
        hard_expiry=request.hard_expiry,
    )
    context.backends.store.write(
        lambda transaction: transaction.save_account(replace(_account(transaction, context), password_policy=policy)),
        AccountScope(context.caller.account),
    )
    return Empty()


def get_account_password_policy(context: Context, _request: PasswordPolicyRequest) -> GetAccountPasswordPolicyResponse:
    """Return the account's password policy; raises NoSuchEntityException."""
    with context.read() as reader:
        policy = _password_policy(_account(reader, context))
    shape = PasswordPolicyShape(
        minimum_password_length=policy.minimum_length,
        require_symbols=policy.require_symbols,
        require_numbers=policy.require_numbers,
        require_uppercase_characters=policy.require_uppercase,
        require_lowercase_characters=policy.require_lowercase,
        allow_users_to_change_password=policy.users_may_change,
        expire_passwords=policy.max_age_days is not None,
        max_password_age=policy.max_age_days,
        password_reuse_prevention=policy.reuse_prevention,
        hard_expiry=policy.hard_expiry,
    )
    return GetAccountPasswordPolicyResponse(password_policy=shape)


def delete_account_password_policy(context: Context, _request: PasswordPolicyRequest) -> Empty:
    """Delete the account's password policy; raises NoSuchEntityException."""

    def remove_policy(transaction: Transaction) -> None:
        account = _account(transaction, context)
        _password_policy(account)
        transaction.save_account(replace(account, password_policy=None))

    context.backends.store.write(remove_policy, AccountScope(context.caller.account))
    return Empty()


def _account(reader: IdentityReader, context: Context) -> AccountRecord:
    return required_account(reader, context.caller.account)


def _password_policy(account: AccountRecord) -> PasswordPolicy:
    if account.password_policy is None:
        raise NoSuchEntityException(f"The Password Policy with domain name {account.account} cannot be found.")
    return account.password_policy
