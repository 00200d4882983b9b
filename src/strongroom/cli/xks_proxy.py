"""``strongroom xks-proxy``: makes keys of this deployment usable in AWS KMS, through external key stores."""

from collections.abc import Iterator
from pathlib import Path

import click

from strongroom.assembly.xks_proxies import DescribedProxy, statement_for, xks_proxies_of
from strongroom.audit.cloudtrail import event_time
from strongroom.cli.data_folder import open_data_folder
from strongroom.cli.groups import Group
from strongroom.cli.options import NEW_FILE, config_option, data_option, require_account
from strongroom.cli.output import json_option, json_time, show
from strongroom.cli.xks_proxy_serve import serve
from strongroom.clock import SystemClock
from strongroom.whole_files import write_named_file
from strongroom.xks_proxy.paths import uri_path
from strongroom.xks_proxy.registry import Usage

_NO_USAGE = "none"
_USAGES = {str(each).lower(): each for each in Usage}


def _prefix_in(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    return value.strip("/")


_prefix_argument = click.argument("prefix", callback=_prefix_in)


@click.group("xks-proxy", cls=Group)
def xks_proxy() -> None:
    """Make keys usable in AWS KMS, as external key store proxy.

    PREFIX names a proxy: the beginning of its path. A slash alone is the proxy whose path has no prefix.
    """


xks_proxy.add_command(serve)


@xks_proxy.command("add")
@_prefix_argument
@click.option("--account", required=True, help="The account whose keys are given out.")
@click.option("--region", required=True, help="The Region of these keys.")
@click.option("--signing-region", help="The AWS Region whose KMS calls. Default: --region.")
@json_option
@data_option
@config_option
def add(  # noqa: PLR0913 - one parameter for each option
    *,
    prefix: str,
    account: str,
    region: str,
    signing_region: str | None,
    as_json: bool,
    data: str | None,
    config: Path | None,
) -> None:
    """Make the proxy PREFIX, also while proxies are served."""
    require_account(account, "--account")
    with open_data_folder(config, data) as (opened, _):
        xks_proxies_of(opened, SystemClock()).add(prefix, account, region, signing_region or region)
    path = uri_path(prefix)
    show({"path": path}, [f"The XKS proxy has the path {path}; it needs a credential and keys now."], as_json=as_json)


@xks_proxy.command("list")
@json_option
@data_option
@config_option
def list_proxies(*, as_json: bool, data: str | None, config: Path | None) -> None:
    """List the proxies; below each, its credentials and the keys that it gives out."""
    with open_data_folder(config, data) as (opened, _):
        found = xks_proxies_of(opened, SystemClock()).proxies()
        show(list(map(_document, found)), (line for each in found for line in _lines(each)), as_json=as_json)


@xks_proxy.command("remove")
@_prefix_argument
@json_option
@data_option
@config_option
def remove(*, prefix: str, as_json: bool, data: str | None, config: Path | None) -> None:
    """Remove the proxy PREFIX with its credentials at once. The KMS keys stay."""
    with open_data_folder(config, data) as (opened, _):
        xks_proxies_of(opened, SystemClock()).remove(prefix)
    path = uri_path(prefix)
    show({"path": path}, [f"There is no XKS proxy {path} any more."], as_json=as_json)


@xks_proxy.command("export")
@_prefix_argument
@click.option("--access-key-id", help="The credential. Default: the newest one.")
@click.option("--to", type=NEW_FILE, help="A new file, which only its owner can read. Default: standard output.")
@data_option
@config_option
def export(prefix: str, access_key_id: str | None, to: Path | None, data: str | None, config: Path | None) -> None:
    """Print what AWS KMS has to be told of the proxy PREFIX: its path and a credential, as JSON.

    The AWS console takes this file where it asks for a proxy configuration file. The secret in it is in plaintext.
    """
    with open_data_folder(config, data) as (opened, _):
        document = xks_proxies_of(opened, SystemClock()).export(prefix, access_key_id)
        if to is None:
            click.echo(document)
        else:
            write_named_file(to, f"{document}\n".encode(), replace=False)


# --- credentials


@xks_proxy.group("credential")
def credential() -> None:
    """Manage the credentials with which AWS KMS signs its calls."""


@credential.command("add")
@_prefix_argument
@json_option
@data_option
@config_option
def add_credential(*, prefix: str, as_json: bool, data: str | None, config: Path | None) -> None:
    """Make a credential for the proxy PREFIX, which is good at once. Print its access key id."""
    with open_data_folder(config, data) as (opened, _):
        made = xks_proxies_of(opened, SystemClock()).add_credential(prefix)
        show({"access_key_id": made}, [made], as_json=as_json)


@credential.command("remove")
@_prefix_argument
@click.argument("access_key_id", metavar="ID")
@json_option
@data_option
@config_option
def remove_credential(*, prefix: str, access_key_id: str, as_json: bool, data: str | None, config: Path | None) -> None:
    """End the credential ID of the proxy PREFIX at once."""
    with open_data_folder(config, data) as (opened, _):
        xks_proxies_of(opened, SystemClock()).remove_credential(prefix, access_key_id)
    words = f"AWS KMS cannot use the credential {access_key_id} any more."
    show({"access_key_id": access_key_id}, [words], as_json=as_json)


@credential.command("list")
@_prefix_argument
@json_option
@data_option
@config_option
def list_credentials(*, prefix: str, as_json: bool, data: str | None, config: Path | None) -> None:
    """List the credentials of the proxy PREFIX, the oldest first."""
    with open_data_folder(config, data) as (opened, _):
        found = xks_proxies_of(opened, SystemClock()).proxy(prefix)
        show(_document(found)["credentials"], _credential_lines(found), as_json=as_json)


# --- keys


@xks_proxy.group("key")
def key() -> None:
    """Manage the keys that a proxy gives out."""


@key.command("add")
@_prefix_argument
@click.argument("external_id", metavar="EXTERNAL-ID")
@click.argument("key_id", metavar="KEY")
@click.option(
    "--usage",
    "usages",
    multiple=True,
    type=click.Choice([*_USAGES, _NO_USAGE]),
    help="What AWS KMS may use it for; repeat for more. Default: both, which AWS KMS asks of a key.",
)
@json_option
@data_option
@config_option
def add_key(  # noqa: PLR0913 - one parameter for each option
    *,
    prefix: str,
    external_id: str,
    key_id: str,
    usages: tuple[str, ...],
    as_json: bool,
    data: str | None,
    config: Path | None,
) -> None:
    """Give out KEY (id, ARN or alias) as EXTERNAL-ID of the proxy PREFIX, also while it is served.

    The policy of the key must allow the proxy to use it. If it does not, the missing statement is printed.
    """
    if _NO_USAGE in usages and len(usages) > 1:
        raise click.UsageError("give --usage none, or others, not both")
    chosen = tuple(each for name, each in _USAGES.items() if not usages or name in usages)
    with open_data_folder(config, data) as (opened, _):
        proxies = xks_proxies_of(opened, SystemClock())
        found = proxies.add_key(prefix, external_id, key_id, chosen)
        missing = proxies.refused_actions(found)
        document = {"key": found.arn, "external_id": external_id, "refused_actions": missing}
        show(document, [f"{found.arn} is the external key {external_id} now."], as_json=as_json)
        if missing:
            click.echo("Its key policy does not allow the proxy to use it. Add a statement such as this one:", err=True)
            click.echo(statement_for(missing), err=True)


@key.command("remove")
@_prefix_argument
@click.argument("external_id", metavar="EXTERNAL-ID")
@json_option
@data_option
@config_option
def remove_key(*, prefix: str, external_id: str, as_json: bool, data: str | None, config: Path | None) -> None:
    """Stop giving out the key EXTERNAL-ID of the proxy PREFIX at once. The KMS key stays."""
    with open_data_folder(config, data) as (opened, _):
        xks_proxies_of(opened, SystemClock()).remove_key(prefix, external_id)
    show({"external_id": external_id}, [f"{external_id} is no external key any more."], as_json=as_json)


@key.command("list")
@_prefix_argument
@json_option
@data_option
@config_option
def list_keys(*, prefix: str, as_json: bool, data: str | None, config: Path | None) -> None:
    """List the keys that the proxy PREFIX gives out: external id, key id, usages."""
    with open_data_folder(config, data) as (opened, _):
        found = xks_proxies_of(opened, SystemClock()).proxy(prefix)
        show(_document(found)["keys"], _key_lines(found), as_json=as_json)


def _lines(found: DescribedProxy) -> Iterator[str]:
    proxy = found.proxy
    yield f"{uri_path(proxy.prefix)}\taccount {proxy.account}\t{proxy.region}\tcalled from {proxy.signing_region}"
    yield from _credential_lines(found)
    yield from _key_lines(found)


def _credential_lines(found: DescribedProxy) -> Iterator[str]:
    for each in found.credentials:
        yield f"\tcredential {each.access_key_id}\tmade {event_time(each.created_at)}"


def _key_lines(found: DescribedProxy) -> Iterator[str]:
    for each in found.keys:
        usages = ", ".join(each.usages) or _NO_USAGE
        yield f"\tkey {each.external_id}\t{each.key_id}\t{usages}\tadded {event_time(each.created_at)}"


def _document(found: DescribedProxy) -> dict[str, object]:
    """Return a proxy as JSON has it, without secrets."""
    proxy = found.proxy
    return {
        "path": uri_path(proxy.prefix),
        "account": proxy.account,
        "region": proxy.region,
        "signing_region": proxy.signing_region,
        "credentials": [
            {"access_key_id": each.access_key_id, "created": json_time(each.created_at)} for each in found.credentials
        ],
        "keys": [
            {
                "external_id": each.external_id,
                "key_id": each.key_id,
                "usages": [str(usage) for usage in each.usages],
                "created": json_time(each.created_at),
            }
            for each in found.keys
        ],
    }
