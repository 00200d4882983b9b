"""``strongroom hsm``: the hardware token that the settings name."""

from pathlib import Path

import click
import msgspec

from strongroom.assembly.hsm_status import HsmStatus, hsm_status
from strongroom.assembly.protections import FULL_DEPTH
from strongroom.assembly.token_objects import OtherObject, TokenObjects
from strongroom.audit.cloudtrail import event_time
from strongroom.cli.data_folder import open_data_folder, readable_errors
from strongroom.cli.groups import Group
from strongroom.cli.options import config_option, data_option, read_settings
from strongroom.cli.output import Question, json_option, show
from strongroom.cli.times import seconds_of
from strongroom.cli.unsealing import unsealing_of
from strongroom.clock import SystemClock
from strongroom.entropy import system_entropy
from strongroom.supervisor.hardening import harden_process

_WIDTH = 18
_SHARED = ", shared: the deployment whose backup was restored here may need it"


@click.group(cls=Group)
def hsm() -> None:
    """Show the hardware token that protects keys (`key-protection`, `pkcs11-module`), and tidy it up."""


@hsm.command("status", cls=Question)
@json_option
@data_option
@config_option
def status(*, as_json: bool, data: str | None, config: Path | None) -> None:
    """Connect to the token, try what it can do, and show what Regions have in it.

    Exits with 0 if all is there, with 1 if something is missing, and with 2 if the token cannot be used.

    It also works before the first start of a server, and beside a server that runs.
    """
    with readable_errors():
        settings = read_settings(config, data=data)
        harden_process()
        found = hsm_status(settings, SystemClock(), system_entropy, unsealing_of(settings))
    if as_json:
        click.echo(msgspec.json.encode(found))
    else:
        _show(found)
    if not all(each.there for each in found.domain_keys):
        raise SystemExit(1)


@hsm.command("destroy")
@click.argument("objects", nargs=-1, required=True, metavar="OBJECT...")
@click.option(
    "--older-than",
    default="1d",
    show_default=True,
    metavar="DURATION",
    help="How old an object must be. With 0s, also one whose label does not say when it was made.",
)
@click.option("--yes", is_flag=True, help="Destroy them. Without it, they are only shown.")
@json_option
@data_option
@config_option
def destroy(
    *, objects: tuple[str, ...], older_than: str, yes: bool, as_json: bool, data: str | None, config: Path | None
) -> None:
    """Destroy objects in the token that no domain key and no seal of this deployment has.

    OBJECT is an id that `strongroom hsm status` shows as `Not ours`. All keys of a Region are gone when the object of
    its domain key is. So make sure that it belongs to no other deployment: not to one of which this one was restored,
    nor to one that was restored from a backup of this one, also with a later backup than the one that is served here.
    """
    age = seconds_of(older_than, "--older-than")
    with open_data_folder(config, data, every_region=True) as (opened, _):
        found = TokenObjects(opened, SystemClock().now()).destroy(objects, age, dry_run=not yes)
    done = "destroyed" if yes else "would be destroyed with --yes"
    lines = (f"{_described(each)}: {done}" for each in found)
    show({"objects": [each.object_id for each in found], "destroyed": yes}, lines, as_json=as_json)


def _described(other: OtherObject) -> str:
    made = "" if other.made_at is None else f", made {event_time(other.made_at)}"
    after = f", by a server, after {event_time(other.destroyed_after)}" if other.destroyed_after else ""
    return f"{other.label}, object {other.object_id}{made}{after}{_SHARED if other.shared else ''}"


def _show(found: HsmStatus) -> None:
    token, answers = found.token, found.capabilities.known_answers
    _line("Key protection", found.key_protection)
    _line("Module", found.module)
    _line("Token", f"{token.label!a}, {token.manufacturer} {token.model}, firmware {token.firmware}")
    _line("Serial number", token.serial)
    drawn = "" if answers.gcm in {None, "ours"} else ", with initialization vectors that the token draws"
    _line("AES-256-GCM", _answered(answered=answers.gcm is not None) + drawn)
    _line("HMAC-SHA-256", _answered(answered=answers.mac))
    wrap = "not there" if answers.wrap is None else f"right answers, as mechanism {answers.wrap:#x}"
    _line("RFC 5649 key wrap", wrap)
    _line("Keeps its keys", "yes" if found.capabilities.keeps_keys else "NO: it wraps keys that are not extractable")
    sensitive = found.capabilities.unwraps_sensitive
    _line("Unwrapped keys", "stay hidden" if sensitive else "CAN BE READ by one who has the PIN, if he unwraps them so")
    for each in found.domain_keys:
        what = "key encryption key" if each.key_protection == FULL_DEPTH else "domain key"
        state = f"{'' if each.there else ' IS MISSING'}{_SHARED if each.shared else ''}"
        _line(each.region, f"{what} {each.version}, object {each.object_id}{state}")
    for name in found.seals:
        _line("Seal", f"the key of the seal {name!a}{_SHARED if name in found.shared_seals else ''}")
    for other in found.other_objects:
        _line("Not ours" if other.destroyed_after is None else "To be destroyed", _described(other))
    for refused in found.refused_key_specs:
        _line("CreateKey refuses", f"{refused.key_spec} for {refused.key_usage}: {refused.reason}")
    if not found.refused_key_specs:
        _line("CreateKey refuses", "nothing because of the token")
    refused_imports: dict[tuple[str, str], list[str]] = {}
    for one in found.refused_imports:
        refused_imports.setdefault((one.wrapping_algorithm, one.reason), []).append(one.key_spec)
    for (algorithm, reason), specs in refused_imports.items():
        _line("Import refuses", f"{algorithm} for {', '.join(specs)}: {reason}")


def _line(name: str, text: str) -> None:
    click.echo(f"{name + ':':{_WIDTH}} {text}")


def _answered(*, answered: bool) -> str:
    return "right answers" if answered else "not there, or not for keys that are brought from outside"
