"""``strongroom domain-keys``: the keys of the service that wrap those of its accounts."""

from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from strongroom.assembly.domain_key_rotation import DomainKeyRotation, DomainKeyStatus
from strongroom.audit.cloudtrail import event_time
from strongroom.cli.data_folder import open_data_folder
from strongroom.cli.groups import Group
from strongroom.cli.options import config_option, data_option
from strongroom.cli.output import json_option, show_json
from strongroom.cli.progress import progress_bar
from strongroom.crypto.domain_keys import IAM_SCOPE
from strongroom.first_few import first_few

region_option = click.option(
    "--region",
    "regions",
    multiple=True,
    metavar="REGION",
    help=f"Only this Region's, or `{IAM_SCOPE}`: the one for the secrets of the service. Can be repeated.",
)


@click.group("domain-keys", cls=Group)
def domain_keys() -> None:
    """Show and rotate the keys that wrap all others, also while the server runs.

    Each Region has a domain key, which wraps its key material. The one of `iam` wraps the secrets of the service, such
    as access keys, and authenticates the records of the database.
    """


@domain_keys.command("status")
@json_option
@data_option
@config_option
def status(*, as_json: bool, data: str | None, config: Path | None) -> None:
    """Show the version of each domain key, its age, and which older versions are there."""
    with open_data_folder(config, data) as (opened, _):
        found = opened.domain_keys.status()
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    for each in found:
        click.echo(f"{each.scope + ':':<18}{_described(each)}")


@domain_keys.command("rotate")
@region_option
@json_option
@data_option
@config_option
def rotate(*, regions: tuple[str, ...], as_json: bool, data: str | None, config: Path | None) -> None:
    """Make new domain keys, and wrap all key material and secrets anew under them.

    The server goes on meanwhile. If this is interrupted, the server finishes it, and so does the same command. Nothing
    changes for clients: key ids, ciphertexts and access keys stay as they are.
    """
    with open_data_folder(config, data) as (opened, _):
        rotation = opened.domain_keys
        scopes = rotation.own_scopes(regions)
        fresh = rotation.begin(scopes)
        found = rotation.status(scopes)
        for each in found:
            if each.scope not in fresh and not as_json:
                click.echo(f"{each.scope}: going on with the rotation to version {each.version}")
        refused = _rewrap(rotation, found)
        if as_json:
            show_json(
                {"domain_keys": rotation.status(scopes), "refused": refused, "others": _others(rotation, regions)}
            )
        else:
            for each in rotation.status(scopes):
                click.echo(f"{each.scope}: {_described(each)}")
            _tell_of_others(rotation, regions)
        _scrub(opened.store.scrub())
    _fail_for(refused)


@domain_keys.command("destroy-old")
@region_option
@json_option
@data_option
@config_option
def destroy_old(*, regions: tuple[str, ...], as_json: bool, data: str | None, config: Path | None) -> None:
    """Destroy the older versions of domain keys now, and not a day and a half after the rotation.

    Sessions and import tokens from before the rotation are refused after that, and RetireGrant refuses grant tokens
    from before it. Copies of the data folder that were made before contain the older versions.
    """
    with open_data_folder(config, data) as (opened, _):
        rotation = opened.domain_keys
        scopes = rotation.own_scopes(regions)
        refused = _rewrap(rotation, [each for each in rotation.status(scopes) if each.older])
        _fail_for(refused)
        destroyed = rotation.destroy_old(scopes)
        if as_json:
            others = _others(rotation, regions)
            show_json({"domain_keys": rotation.status(scopes), "destroyed": sorted(destroyed), "others": others})
        else:
            for each in rotation.status(scopes):
                done = "older versions are destroyed" if each.scope in destroyed else "there was no older version"
                click.echo(f"{each.scope}: {done}; {_described(each)}")
            _tell_of_others(rotation, regions)
        _scrub(opened.store.scrub())


def _tell_of_others(rotation: DomainKeyRotation, asked: Sequence[str]) -> None:
    """Tell which Regions were left out, unless some were asked for by name."""
    for scope in _others(rotation, asked):
        click.echo(f"{scope}: left to a node that serves it")


def _others(rotation: DomainKeyRotation, asked: Sequence[str]) -> list[str]:
    """Return the Regions that were left to other nodes."""
    own = rotation.own_scopes(asked)
    return [each.scope for each in rotation.status(asked) if each.scope not in own]


def _rewrap(rotation: DomainKeyRotation, found: Sequence[DomainKeyStatus]) -> list[str]:
    """Wrap anew what older versions have wrapped; return what could not be."""
    refused: list[str] = []
    with progress_bar("Wrapping anew", sum(each.remaining for each in found)) as advance:
        for each in found:
            refused += rotation.rewrap(each.scope, advance)
    return refused


def _fail_for(refused: Sequence[str]) -> None:
    if refused:
        raise click.ClickException(
            f"this could not be wrapped anew, so that the older version is kept: {first_few(refused, 20)}; if it does "
            "not help to run this again, restore it from a backup, or delete it"
        )


def _scrub(scrubbed: bool) -> None:  # noqa: FBT001 - the only argument
    if not scrubbed:
        click.echo(
            "Warning: a program that reads the database keeps old pages in its log; they are overwritten when it ends",
            err=True,
        )


def _described(status: DomainKeyStatus) -> str:
    made = "by an older release" if status.created_at is None else event_time(status.created_at)
    words = f"version {status.version}, made {made}"
    if not status.older:
        return words
    older = f"; version{'s' * (len(status.older) > 1)} {', '.join(map(str, status.older))}"
    if status.remaining:
        return f"{words}{older}: still needed for {status.remaining}"
    if status.destroyed_after is None:
        return f"{words}{older}: not needed for anything stored"
    return f"{words}{older}: destroyed by the server after {event_time(status.destroyed_after)}"
