"""``strongroom keys``: a list of all KMS keys, for an auditor."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import click
from typing_extensions import override

from strongroom.assembly.audit_folders import AuditFolders
from strongroom.assembly.key_inventory import DAMAGED, InventoriedKey, KeyInventory, Selection
from strongroom.cli.data_folder import open_data_folder
from strongroom.cli.options import EXISTING_FOLDER, config_option, data_option, require_account, require_region
from strongroom.cli.output import Table, csv_option, csv_rows, json_lines_option, show_json_lines, terminal_width
from strongroom.clock import SystemClock
from strongroom.keys.states import KeyState
from strongroom.service.explanations import NoAnswer, action_named

_STATES = (*(each.value for each in KeyState), DAMAGED)
_COLUMNS = (
    *(("KEY ID", 36), ("ALIASES", 24), ("STATE", 26), ("REACH", 24), ("LAST USED", 20), ("ROTATION", 21)),
    *(("SPEC", 17), ("USAGE", 15), ("ORIGIN", 12), ("REGION", 14), ("ACCOUNT", 12), ("BY", 40)),
)
_LEFT_OUT = (10, 9, 8, 7, 11, 6, 5)
"""The columns that a terminal without room for all does not show, the account first, the rotation last."""
_CACHED = 1000
"""How many keys are cached: each is looked at once."""
_CSV = (
    *("key_id", "arn", "account", "region", "state", "aliases", "description", "spec", "usage", "origin", "manager"),
    *("multi_region", "created", "rotation_days", "next_rotation", "deletion", "material_expires"),
    *("reach", "grants", "last_used", "last_operation", "last_event_id", "last_used_by", "may"),
)


class _State(click.Choice[str]):
    """A state in any case; messages have the states as KMS spells them."""

    @override
    def get_invalid_choice_message(self, value: object, ctx: click.Context | None) -> str:
        return f"`{value}` is not one of {', '.join(self.choices)}"


@click.command("keys")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=_State(_STATES, case_sensitive=False),
    metavar="STATE",
    help=f"Only keys in this state, such as PendingDeletion; repeat for more. {DAMAGED} are those whose records are "
    "not as they were written.",
)
@click.option("--account", default="", help="Only keys of this account.")
@click.option("--region", default="", help="Only keys of this Region.")
@click.option("--who-can", "action", default="", metavar="ACTION", help="Also decide who may do this with each key.")
@json_lines_option
@csv_option
@click.option(
    "--archive",
    "archives",
    multiple=True,
    type=EXISTING_FOLDER,
    help="Folder of archived files, or of another node's audit log, to look up last callers in; repeat for more.",
)
@data_option
@config_option
def keys(  # noqa: PLR0913 - the options of one list
    *,
    states: tuple[str, ...],
    account: str,
    region: str,
    action: str,
    as_json: bool,
    as_csv: bool,
    archives: tuple[Path, ...],
    data: str | None,
    config: Path | None,
) -> None:
    """List the KMS keys of all accounts and Regions, also while the server runs.

    For each key: its aliases, state and when it is deleted, whom its key policy names for the use of its material, when
    it was used last and by whom, and when it rotates. More decides who may use it: statements that deny, the identity
    policies of an account that is named, grants. --who-can kms:Decrypt makes that decision for each key and principal,
    which takes time for many of both.

    A terminal shows as many columns as it has room for. --json and --csv have everything.
    """
    if as_json and as_csv:
        raise click.UsageError("give --json or --csv, not both")
    asked = f"kms:{action}" if action and ":" not in action else action
    if account:
        require_account(account, "--account")
    if region:
        require_region(region, "--region")
    if asked:
        _require_action(asked)
    selection = Selection(frozenset(states), account, region, asked)
    with open_data_folder(config, data, cached_keys=_CACHED) as (opened, _):
        logs = (opened.folder.audit,) if opened.folder.audit.is_dir() else ()
        found = KeyInventory(opened, AuditFolders(logs, archives).every, SystemClock().now()).keys(selection)
        try:
            if as_json:
                show_json_lines(found)
                return
            lines = csv_rows(chain([_CSV], map(_values, found))) if as_csv else _table(found, terminal_width())
            for line in lines:
                click.echo(line)
        except NoAnswer as error:
            raise click.ClickException(str(error)) from None


def _require_action(action: str) -> None:
    try:
        action_named(action)
    except NoAnswer as error:
        raise click.BadParameter(str(error), param_hint="--who-can") from None


def _table(found: Iterable[InventoriedKey], width: int | None) -> Iterator[str]:
    names = [name for name, _ in _COLUMNS]
    widths = [size for _, size in _COLUMNS][:-1]
    return Table(names, widths, width, optional=_LEFT_OUT, kept=(4,)).lines(map(_cells, found))


def _cells(key: InventoriedKey) -> Sequence[str]:
    use = key.last_use
    rotation = "-" if key.rotation_days is None else f"{key.rotation_days} d, {_day(key.next_rotation)}"
    return (
        key.key_id,
        " ".join(key.aliases or ()) or "-",
        f"{key.state} {_day(key.deletion)}" if key.deletion else key.state,
        reach_words(key),
        "-" if use is None else use.at,
        rotation,
        key.spec or "-",
        key.usage or "-",
        key.origin or "-",
        key.region,
        key.account,
        "-" if use is None else use.by or "not in this log",
    )


def _values(key: InventoriedKey) -> Sequence[object]:
    use = key.last_use
    used = ("", "", "", "") if use is None else (use.at, use.operation, use.event_id, use.by or "")
    plain = (
        *(key.key_id, key.arn, key.account, key.region, key.state, " ".join(key.aliases or ()), key.description),
        *(key.spec, key.usage, key.origin, key.manager, key.multi_region, key.created, key.rotation_days),
        *(key.next_rotation, key.deletion, key.material_expires, reach_words(key), key.grants),
    )
    return [*("" if each is None else each for each in plain), *used, " ".join(key.may or ())]


def reach_words(key: InventoriedKey) -> str:
    """Return whom a key policy names, and how many grants there are beside it, in a few words."""
    reach = key.reach
    if reach is None:
        return "-"
    words = list[str]()
    if reach.everyone or reach.everyone_if:
        words.append("any principal" if reach.everyone else "any principal, if conditions hold")
    words += ["account root" if each == key.account else f"account {each}" for each in reach.accounts]
    if reach.principals:
        words.append(_counted(len(reach.principals), "principal"))
    if key.grants:
        words.append(_counted(key.grants, "grant"))
    if key.may is not None:
        words.append(f"{_counted(len(key.may), 'principal')} may")
    return "; ".join(words) or "no principal"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _day(time: str | None) -> str:
    return (time or "-").partition("T")[0]
