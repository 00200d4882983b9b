"""``strongroom nodes``: who serves the database that nodes share."""

import time
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from strongroom.assembly.nodes import NodeState, NodeStatus, node_statuses
from strongroom.cli.data_folder import readable_errors
from strongroom.cli.options import config_option, data_option, read_settings
from strongroom.cli.output import Question, json_option
from strongroom.clock import SystemClock
from strongroom.entropy import system_entropy
from strongroom.supervisor.hardening import harden_process

_COLUMNS = ("NODE", "STATE", "RELEASE", "LISTENS AT", "WORKERS", "UP", "LEASE", "RENEWED", "BEHIND", "REGIONS")
_SECONDS = ((86_400, "d"), (3600, "h"), (60, "min"))
_ALONE = "Nodes share no database here: the data folder has its own (SQLite), so this is the only node."


@click.command(cls=Question)
@json_option
@data_option
@config_option
def nodes(*, as_json: bool, data: str | None, config: Path | None) -> None:
    """Show the nodes that share the database: where they listen, how they keep their leases, what they lag behind.

    It asks the database, from any node. Exits with 0 if all is well, with 1 if a node is late or gone or none serves,
    and with 2 if the nodes cannot be found.
    """
    with readable_errors():
        settings = read_settings(config, data=data)
        harden_process()
        found = node_statuses(settings, SystemClock(), system_entropy, time.sleep)
    if as_json:
        click.echo(msgspec.json.encode(found or []))
    elif found is None:
        click.echo(_ALONE)
    else:
        _show(found)
    if found is not None and not (found and all(each.state is NodeState.SERVING for each in found)):
        raise SystemExit(1)


def _show(found: Sequence[NodeStatus]) -> None:
    if not found:
        click.echo("No node serves the database now.")
        return
    rows = [_COLUMNS, *map(_row, found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(f"{text:{width}}" for text, width in zip(row, widths, strict=True)).rstrip())
    if any(each.is_this for each in found):
        click.echo("\n* the node of this data folder")


def _row(node: NodeStatus) -> tuple[str, ...]:
    return (
        f"{node.node}{'*' if node.is_this else ''}",
        node.state.value,
        node.release or "-",
        node.listen or "-",
        "-" if node.workers is None else str(node.workers),
        "-" if node.joined is None else _duration(node.joined),
        "-" if node.lease is None else f"{node.lease:g} s",
        "-" if node.renewed is None else f"{_duration(node.renewed)} ago",
        "-" if node.behind is None else str(node.behind),
        ", ".join(node.regions or ()) or "-",
    )


def _duration(seconds: float) -> str:
    for unit, name in _SECONDS:
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.1f} s"
