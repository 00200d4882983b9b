"""``strongroom audit retire``."""

from collections.abc import Iterator
from pathlib import Path

import click

from strongroom.assembly.retirement import reinstate_node, retire_node
from strongroom.audit.retirement import Retirement
from strongroom.cli.data_folder import open_data_folder
from strongroom.cli.options import config_option, data_option
from strongroom.cli.output import json_option, show
from strongroom.clock import SystemClock
from strongroom.node_id import parse_node_id


@click.command()
@click.argument("node")
@click.option("--undo", is_flag=True, help="Take that back, if it was a mistake: the node goes on without a restart.")
@json_option
@data_option
@config_option
def retire(*, node: str, undo: bool, as_json: bool, data: str | None, config: Path | None) -> None:
    """State that a node was lost with its disk, and let it write no more.

    NODE is the identity of the lost node, as ``audit writers`` lists it. What is missing of its chains is then found as
    lost, up to the last checkpoint that the database has. A new disk is a new node.
    """
    found = parse_node_id(node)
    if found is None:
        raise click.UsageError("NODE is 12 hexadecimal digits, as `strongroom audit writers` lists it")
    with open_data_folder(config, data) as (opened, _):
        if undo:
            reinstate_node(opened, found)
        stated = Retirement(found, []) if undo else retire_node(opened, found, SystemClock().now())
    chains = [
        {"writer": each.writer, "lines": each.sequence, "last_time": each.time or None, "stopped": each.stopped}
        for each in stated.chains
    ]
    lines = [f"Node {node} is not retired any more."] if undo else _lines(node, stated)
    show({"node": node, "undone": undo, "chains": chains}, lines, as_json=as_json)


def _lines(node: str, stated: Retirement) -> Iterator[str]:
    yield f"Node {node} is retired, as the audit log of this node states. Its chains had, by the database:"
    for each in stated.chains:
        known = f"{each.sequence} lines up to {each.time}" if each.sequence else "no signed line"
        yield f"  {each.writer}: {known}{'' if each.stopped else ', and perhaps some after that'}"
    yield "What was shipped or copied of them still verifies: strongroom audit verify --from FOLDER"
