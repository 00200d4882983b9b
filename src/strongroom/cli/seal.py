"""``strongroom seal``: what opens the root key."""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from strongroom.assembly.open_folder import OpenFolder
from strongroom.assembly.seals import SealsStatus, SealStatus, Trial
from strongroom.assembly.unsealing import read_passphrase
from strongroom.cli.data_folder import open_data_folder
from strongroom.cli.groups import Group
from strongroom.cli.options import READABLE, config_option, data_option
from strongroom.cli.output import Question, json_option, show, show_json, with_nulls

_MIN_PASSPHRASE = 12
_WIDTH = 14


@click.group(cls=Group)
def seal() -> None:
    """Show and change what opens the root key, also while the server runs.

    The root key protects all other keys. Each seal keeps it in another way, and any one of them opens it.
    """


@seal.command("status")
@json_option
@data_option
@config_option
def status(*, as_json: bool, data: str | None, config: Path | None) -> None:
    """Show the seals, and which of them has opened for this command."""
    with open_data_folder(config, data) as (opened, _):
        found = opened.seals.status()
    if as_json:
        show_json(_document(found))
        return
    click.echo(f"{'Root key:':{_WIDTH}}generation {found.generation}")
    for each in found.seals:
        opened_now = "  (opened for this command)" if each.name == found.opened_by else ""
        click.echo(f"{each.name + ':':{_WIDTH}}{_described(each)}{opened_now}")


@seal.command("add")
@click.argument("name")
@click.argument("kind", type=click.Choice(["file", "passphrase", "kms", "tpm", "pkcs11"]))
@click.option("--key-id", help="kms: ARN of the KMS key, or of an alias of it.")
@click.option("--region", help="kms: its Region.")
@click.option("--endpoint", help="kms: URL of the service. Default: AWS.")
@click.option(
    "--new-passphrase-file",
    type=READABLE,
    help="passphrase: file with it in its first line. Default: a terminal is asked.",
)
@click.option("--device", help="tpm: how to reach it, a TCTI of the TPM2 Software Stack. Default: device:/dev/tpmrm0.")
@click.option("--pcrs", help="tpm: registers that must not change, such as sha256:0,2,4,7. Default: none.")
@json_option
@data_option
@config_option
def add(  # noqa: PLR0913 - the options of one seal
    *,
    name: str,
    kind: str,
    key_id: str | None,
    region: str | None,
    endpoint: str | None,
    new_passphrase_file: Path | None,
    device: str | None,
    pcrs: str | None,
    as_json: bool,
    data: str | None,
    config: Path | None,
) -> None:
    """Add the seal NAME. It is opened once before it counts.

    KIND is what keeps the root key: a file beside the database, a passphrase, a KMS key of AWS or another server,
    for which credentials are found as all AWS clients find them, the TPM of this machine, or a key that is made for it
    in the hardware token of the settings.
    """
    if kind != "kms" and (key_id or region or endpoint):
        raise click.UsageError("--key-id, --region and --endpoint are for the kind kms")
    if kind != "passphrase" and new_passphrase_file:
        raise click.UsageError("--new-passphrase-file is for the kind passphrase")
    if kind != "tpm" and (device or pcrs):
        raise click.UsageError("--device and --pcrs are for the kind tpm")
    if kind == "kms" and not (key_id and region):
        raise click.UsageError("the kind kms needs --key-id and --region")
    passphrase = _new_passphrase(name, new_passphrase_file) if kind == "passphrase" else None
    found = {"key-id": key_id, "region": region, "endpoint": endpoint, "device": device, "pcrs": pcrs}
    parameters = {name: value for name, value in found.items() if value is not None}
    with open_data_folder(config, data) as (opened, _):
        opened.seals.add(name, kind, parameters, passphrase)
        seals = opened.seals.status()
    lines = (
        f"The seal {name!a} is added: it opened. Any one of these opens the root key now:",
        *(f"  {each.name}: {_described(each)}" for each in seals.seals),
    )
    show(_document(seals), lines, as_json=as_json)


@seal.command("remove")
@click.argument("name")
@json_option
@data_option
@config_option
def remove(*, name: str, as_json: bool, data: str | None, config: Path | None) -> None:
    """Remove the seal NAME, and rotate the root key, so that what the seal has kept opens nothing any more.

    Copies of the data folder that were made before still open with it.
    """
    with open_data_folder(config, data) as (opened, _):
        opened.seals.remove(name)
        words = f"The seal {name!a} is removed, and the root key is a new one."
        show(_document(opened.seals.status()), (words, *_of_key_file(opened)), as_json=as_json)


@seal.command("rotate")
@json_option
@data_option
@config_option
def rotate(*, as_json: bool, data: str | None, config: Path | None) -> None:
    """Make a new root key, which every seal keeps from now on. What kept the old one is overwritten."""
    with open_data_folder(config, data) as (opened, _):
        generation = opened.seals.rotate()
        words = f"The root key is rotated: this is generation {generation}."
        show(_document(opened.seals.status()), (words, *_of_key_file(opened)), as_json=as_json)


@seal.command("test", cls=Question)
@click.argument("name", required=False)
@json_option
@data_option
@config_option
def test(*, name: str | None, as_json: bool, data: str | None, config: Path | None) -> None:
    """Try to open the seal NAME, or each.

    Exits with 0 if it opens, with 1 if one does not, and with 2 if that cannot be tried.
    """
    with open_data_folder(config, data) as (opened, _):
        trials = opened.seals.test(name)
    if as_json:
        show_json([with_nulls(each, "reason") for each in trials])
    else:
        for each in trials:
            click.echo(_outcome(each))
    if any(each.outcome != "opens" for each in trials):
        raise SystemExit(1)


def _of_key_file(opened: OpenFolder) -> Iterator[str]:
    """Yield where the new key file is needed, if a seal has one."""
    for each in opened.seals.status().seals:
        if each.kind == "file":
            file = each.parameters["file"]
            yield f"If you keep a copy of the key file elsewhere, replace it by {file}."
            if opened.folder.is_shared:
                yield "Every other node needs it, with mode 0600, before it starts again or domain keys are rotated:"
                yield str(opened.folder.path / str(file))


def _outcome(trial: Trial) -> str:
    words = {"opens": "opens", "refuses": "does not open", "unavailable": "cannot be reached"}[trial.outcome]
    return f"{trial.name + ':':{_WIDTH}}{words}{': ' if trial.reason else ''}{trial.reason}"


def _document(found: SealsStatus) -> dict[str, object]:
    return with_nulls(found, "deployment", "opened_by")


def _described(status: SealStatus) -> str:
    given = status.parameters
    if status.kind == "file":
        return f"the key in the file {given['file']}"
    if status.kind == "kms":
        return f"the KMS key {given['key-id']} at {given.get('endpoint', 'AWS')}"
    if status.kind == "pkcs11":
        return f"the key {given['object']} in the hardware token {given['token']}"
    if status.kind == "tpm":
        unchanged = f", while its registers {given['pcrs']} do not change" if "pcrs" in given else ""
        return f"the TPM at {given['device']}{unchanged}"
    return f"a passphrase ({given['kdf']})"


def _new_passphrase(name: str, file: Path | None) -> str:
    """Return the passphrase of a new seal, which is asked for twice; raises ClickException if it is too short."""
    if file is not None:
        found = read_passphrase(str(file), "--new-passphrase-file")
    elif sys.stdin.isatty():
        found = click.prompt(
            f"New passphrase of the seal {name!a}", hide_input=True, confirmation_prompt=True, err=True
        )
    else:
        raise click.ClickException("give the passphrase with --new-passphrase-file FILE, or run this at a terminal")
    if len(found) < _MIN_PASSPHRASE:
        raise click.ClickException(f"the passphrase must have {_MIN_PASSPHRASE} characters at least")
    return found
