"""How the rows of IAM's tables are made."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from strongroom.operations.context import Context
from strongroom.operations.lanes import Placement
from strongroom.operations.operation import Operation
from strongroom.operations.shapes import Request, Response
from strongroom.operations.targets import Target

R = TypeVar("R", bound=Request)
Locator = Callable[[str], Callable[[Context, R], Sequence[Target]]]
"""Returns, for an action, the function that returns the targets of a request."""

_READS = ("Get", "List", "Simulate")


def row(
    name: str,
    request: type[R],
    run: Callable[[Context, R], Response],
    locate: Callable[[Context, R], Sequence[Target]],
) -> Operation:
    """Return the row of an action with a locator of its own."""
    return Operation(
        name,
        request,
        run,
        locate=locate,
        placement=Placement.READING if name.startswith(_READS) else Placement.WRITING,
        read_only=name.startswith(_READS),
        service="iam",
    )


def entity_row(locator: Locator[R], name: str, request: type[R], run: Callable[[Context, R], Response]) -> Operation:
    """Return the row of an action. Its request must have the members that the locator reads."""
    return row(name, request, run, locator(f"iam:{name}"))
