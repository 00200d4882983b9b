"""The identity of a node: one data folder with the processes that serve it. Many nodes may share one database."""

import re
from typing import NewType

NodeId = NewType("NodeId", str)
"""12 lower-case hexadecimal digits, random."""

RANDOM_BYTES = 6
"""How many random bytes make an identity. Of 10,000 nodes, two are the same in one of five million cases."""

_FORM = re.compile(r"[0-9a-f]{12}")


def node_id_of(random: bytes) -> NodeId:
    """Return the identity that ``RANDOM_BYTES`` random bytes make."""
    return NodeId(random.hex())


def parse_node_id(text: str) -> NodeId | None:
    """Return the identity in a text, None for any other text."""
    return NodeId(text) if _FORM.fullmatch(text) else None
