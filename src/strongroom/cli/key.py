"""``strongroom key reset-policy``."""

from pathlib import Path

import click

from strongroom.cli.data_folder import open_data_folder
from strongroom.cli.groups import Group
from strongroom.cli.options import WrongOptionError, config_option, data_option
from strongroom.cli.output import json_option, show_json
from strongroom.keys.arns import locator_of


@click.group(cls=Group)
def key() -> None:
    """Help with KMS keys that no caller can manage any more."""


@key.command("reset-policy")
@click.argument("arn")
@json_option
@data_option
@config_option
def reset_policy(*, arn: str, as_json: bool, data: str | None, config: Path | None) -> None:
    """Give the KMS key ARN the default key policy, also while the server runs.

    It is for keys whose policy lets no principal change it. The default policy trusts the account: its root user and
    its identity policies decide. The earlier policy is printed, and is in the audit record. Grants stay.
    """
    try:
        locator_of(arn)
    except ValueError:
        raise WrongOptionError(f"`{arn}` is not the ARN of a KMS key") from None
    with open_data_folder(config, data) as (opened, _):
        earlier = opened.key_policies.reset(arn)
        if as_json:
            show_json({"key": arn, "earlier_policy": earlier})
            return
        click.echo(earlier)
        click.echo(f"The policy above was that of {arn}; it has the default key policy now.", err=True)
