"""``strongroom account create``, ``strongroom account list`` and ``strongroom account root-key``."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from strongroom.assembly.root_keys import AccountSummary, NewRootKey
from strongroom.audit.cloudtrail import event_time
from strongroom.cli.data_folder import open_data_folder, warn_of_profiles
from strongroom.cli.groups import Group
from strongroom.cli.options import config_option, data_option, require_account
from strongroom.cli.output import json_option, json_time, show
from strongroom.store.records import AccessKeyRecord


@click.group(cls=Group)
def account() -> None:
    """Manage accounts."""


@account.command("create")
@click.argument("account_id", metavar="ID")
@json_option
@data_option
@config_option
def create_account(*, account_id: str, as_json: bool, data: str | None, config: Path | None) -> None:
    """Create the account ID (12 digits), also while the server runs.

    Its root access key is added to DATA/credentials as profile ID.
    """
    require_account(account_id, "ID")
    with open_data_folder(config, data) as (opened, settings):
        opened.registrar.create_account(account_id, settings.regions[0], account_id)
        file = str(opened.folder.credentials)
        show(
            {"account": account_id, "profile": account_id, "file": file},
            (f"Account {account_id} exists; its root access key is profile {account_id} in", file),
            as_json=as_json,
        )
        warn_of_profiles(opened)


@account.command("list")
@json_option
@data_option
@config_option
def list_accounts(*, as_json: bool, data: str | None, config: Path | None) -> None:
    """List the accounts: id, alias, when it was made, its profile; below each, its root access keys."""
    with open_data_folder(config, data) as (opened, _):
        found = opened.root_keys.accounts()
        show(list(map(_document, found)), _lines(found, opened.folder.credentials), as_json=as_json)
        warn_of_profiles(opened)


def _lines(found: Iterable[AccountSummary], usual: Path) -> Iterator[str]:
    for each in found:
        made = f"made {event_time(each.record.created_at)}"
        aside = "" if each.file == usual else f" in {each.file.name}"
        yield f"{each.record.account}\t{each.record.alias or '-'}\t{made}\tprofile {each.profile}{aside}"
        yield from (f"\t{_described(key)}" for key in each.keys)
        if not each.keys:
            yield f"\tno root access key; for one, run: strongroom account root-key {each.record.account}"


def _document(found: AccountSummary) -> dict[str, object]:
    return {
        "account": found.record.account,
        "alias": found.record.alias,
        "created": json_time(found.record.created_at),
        "profile": found.profile,
        "file": str(found.file),
        "root_access_keys": list(map(_key_document, found.keys)),
    }


def _key_document(key: AccessKeyRecord) -> dict[str, object]:
    return {
        "access_key_id": key.access_key_id,
        "active": key.active,
        "created": json_time(key.created_at),
        "last_used": json_time(key.last_used_at),
    }


@account.command("root-key")
@click.argument("account_id", metavar="ID")
@click.option("--replace", is_flag=True, help="Delete the root access keys that the account has.")
@click.option("--deactivate-others", is_flag=True, help="Deactivate the root access keys that the account has.")
@json_option
@data_option
@config_option
def make_root_key(
    *, account_id: str, replace: bool, deactivate_others: bool, as_json: bool, data: str | None, config: Path | None
) -> None:
    """Make a root access key for the account ID, also while the server runs.

    It becomes the profile of the account in DATA/credentials. If the profile has an access key that exists, that one is
    kept in the file under another name, unless it is deleted. An account has two root access keys at most.
    """
    require_account(account_id, "ID")
    if replace and deactivate_others:
        raise click.UsageError("give --replace or --deactivate-others, not both")
    with open_data_folder(config, data) as (opened, _):
        made = opened.root_keys.create(account_id, replace=replace, deactivate=deactivate_others)
        done = "deleted" if replace else "deactivated" if deactivate_others else "kept"
        lines = (
            *_outcome(made, done),
            f"Root access key {made.access_key_id} of account {account_id} is profile {made.profile} in",
            str(made.file),
        )
        document = {
            "account": account_id,
            "access_key_id": made.access_key_id,
            "profile": made.profile,
            "file": str(made.file),
            "earlier": [_key_document(key) | {"outcome": done} for key in made.before],
            "profile_kept_as": made.kept_as,
        }
        show(document, lines, as_json=as_json)
        warn_of_profiles(opened)


def _outcome(made: NewRootKey, done: str) -> list[str]:
    """Say what has become of the earlier access keys, and of the profile."""
    lines = [f"{done}:\t{_described(key)}" for key in made.before]
    if made.kept_as is not None:
        lines.append(f"What profile {made.profile} had before is profile {made.kept_as} now.")
    return lines


def _described(key: AccessKeyRecord) -> str:
    state = "active" if key.active else "inactive"
    used = "never used" if key.last_used_at is None else f"used {event_time(key.last_used_at)}"
    return f"{key.access_key_id}\t{state}\tmade {event_time(key.created_at)}\t{used}"
