"""How the rows of IAM's table are made."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from strongroom.operations.context import Context
from strongroom.operations.iam.access_keys import locate_access_keys
from strongroom.operations.iam.entities import NamesUser
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
    """Return the row of an action that finds its targets itself."""
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


def on_owner(action: str) -> Callable[[Context, NamesUser], Sequence[Target]]:
    """Return the locator of requests about what a user owns; without a name, the caller is meant."""
    return lambda context, request: locate_access_keys(context, request, action)
