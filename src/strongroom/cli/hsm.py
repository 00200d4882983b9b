"""``strongroom hsm``: the hardware token that the settings name."""

from pathlib import Path

import click
import msgspec

from strongroom.assembly.hsm_status import HsmStatus, hsm_status
from strongroom.assembly.protections import FULL_DEPTH
from strongroom.cli.data_folder import readable_errors
from strongroom.cli.groups import Group
from strongroom.cli.options import config_option, data_option, read_settings
from strongroom.cli.output import Question, json_option
from strongroom.cli.unsealing import unsealing_of
from strongroom.clock import SystemClock
from strongroom.entropy import system_entropy
from strongroom.supervisor.hardening import harden_process

_WIDTH = 18


@click.group(cls=Group)
def hsm() -> None:
    """Show the hardware token that protects keys (`key-protection`, `pkcs11-module`)."""


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
        _line(each.region, f"{what} {each.version}, object {each.object_id}{'' if each.there else ' IS MISSING'}")
    for name in found.seals:
        _line("Seal", f"the key of the seal {name!a}")
    for text in found.other_objects:
        _line("Not ours", f"{text}: no key of this data folder")
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
