"""``strongroom identity-provider keys set``."""

from pathlib import Path
from typing import TextIO

import click

from strongroom.cli.data_folder import open_data_folder
from strongroom.cli.groups import Group
from strongroom.cli.options import config_option, data_option
from strongroom.cli.output import json_option, show
from strongroom.crypto.documents.issuer_keys import MAX_KEYS_SIZE


@click.group("identity-provider", cls=Group)
def identity_provider() -> None:
    """Manage OpenID Connect providers that were made through IAM."""


@identity_provider.group()
def keys() -> None:
    """Manage the public keys of a provider's issuer."""


@keys.command("set")
@click.argument("url")
@click.argument("file", type=click.File(encoding="utf-8"))
@click.option("--account", help="The account that has the provider. Default: the account of the settings.")
@json_option
@data_option
@config_option
def set_keys(
    *, url: str, file: TextIO, account: str | None, as_json: bool, data: str | None, config: Path | None
) -> None:
    """Replace the keys of the provider with the issuer URL by those in FILE, also while the server runs.

    FILE is a JWK Set, such as the issuer publishes at its jwks_uri; "-" reads it from standard input. Tokens that are
    signed with a key that is not in it are refused from then on.
    """
    try:
        # One character more than is accepted, so that a longer file is refused and not cut.
        text = file.read(MAX_KEYS_SIZE + 1)
    except UnicodeDecodeError:
        raise click.BadParameter("it is not text", param_hint="FILE") from None
    with open_data_folder(config, data) as (opened, settings):
        provider = opened.provider_keys.set(account or settings.account, url, text)
        show({"provider": provider.arn}, [f"The keys of {provider.arn} are set."], as_json=as_json)
