"""``strongroom``: the group of commands."""

import click

from strongroom import __version__
from strongroom.cli.account import account
from strongroom.cli.audit import audit
from strongroom.cli.audit_archive import archive, prune
from strongroom.cli.audit_retire import retire
from strongroom.cli.audit_search import search
from strongroom.cli.audit_shipping import fetch, shipping
from strongroom.cli.backup import backup
from strongroom.cli.clock import clock
from strongroom.cli.completion import completion
from strongroom.cli.config import config
from strongroom.cli.database import database
from strongroom.cli.dev import dev
from strongroom.cli.doctor import doctor
from strongroom.cli.domain_keys import domain_keys
from strongroom.cli.events import events
from strongroom.cli.explain import explain_command, who_can_command
from strongroom.cli.groups import HELP_OPTIONS, Group
from strongroom.cli.hsm import hsm
from strongroom.cli.identity_provider import identity_provider
from strongroom.cli.import_keys import import_command
from strongroom.cli.init import init
from strongroom.cli.key import key
from strongroom.cli.keys import keys
from strongroom.cli.migrate import migrate
from strongroom.cli.migrate_ciphertexts import migrate_ciphertexts
from strongroom.cli.nodes import nodes
from strongroom.cli.ready import ready
from strongroom.cli.restore import restore
from strongroom.cli.seal import seal
from strongroom.cli.serve import serve
from strongroom.cli.service import service
from strongroom.cli.xks_proxy import xks_proxy


@click.group(cls=Group, context_settings=HELP_OPTIONS)
@click.version_option(__version__, prog_name="strongroom")
def main() -> None:
    """Run a key management service that speaks the AWS KMS wire protocol."""


for command in (
    *(serve, init, account, service, seal, hsm, domain_keys, key, keys, identity_provider, explain_command),
    *(who_can_command, dev, import_command, audit, clock, config, database, migrate, migrate_ciphertexts, backup),
    *(restore, doctor, nodes, xks_proxy, events, ready, completion),
):
    main.add_command(command)
for command in (search, archive, prune, retire, shipping, fetch):
    audit.add_command(command)
