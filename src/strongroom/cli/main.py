"""``strongroom``: the group of commands."""

import click

from strongroom import __version__
from strongroom.cli.account import account
from strongroom.cli.audit import audit
from strongroom.cli.audit_archive import archive, prune
from strongroom.cli.audit_retire import retire
from strongroom.cli.audit_shipping import fetch, shipping
from strongroom.cli.backup import backup
from strongroom.cli.clock import clock
from strongroom.cli.database import database
from strongroom.cli.doctor import doctor
from strongroom.cli.domain_keys import domain_keys
from strongroom.cli.events import events
from strongroom.cli.explain import explain_command, who_can_command
from strongroom.cli.hsm import hsm
from strongroom.cli.identity_provider import identity_provider
from strongroom.cli.init import init
from strongroom.cli.key import key
from strongroom.cli.migrate import migrate
from strongroom.cli.nodes import nodes
from strongroom.cli.restore import restore
from strongroom.cli.seal import seal
from strongroom.cli.serve import serve
from strongroom.cli.service import service
from strongroom.cli.xks_proxy import xks_proxy


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="strongroom")
def main() -> None:
    """Run a key management service that speaks the AWS KMS wire protocol."""


for command in (
    *(serve, init, account, service, seal, hsm, domain_keys, key, identity_provider, explain_command, who_can_command),
    *(audit, clock, database, migrate, backup, restore, doctor, nodes, xks_proxy, events),
):
    main.add_command(command)
for command in (archive, prune, retire, shipping, fetch):
    audit.add_command(command)
