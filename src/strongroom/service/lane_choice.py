"""Where a call runs once its keys are known."""

from collections.abc import Sequence

from strongroom.operations.lanes import Lane
from strongroom.operations.operation import Operation
from strongroom.operations.shapes import Request
from strongroom.snapshot.active_key import ActiveKey


def lane_of(operation: Operation, guess: Lane, request: Request, keys: Sequence[ActiveKey]) -> Lane:
    """Return the lane of an authorized call; ``guess`` is what its body told before the keys were known.

    A call that reaches key material in a token or behind a network goes to ``KEY_BACKEND``, whatever the guess: if any
    of its keys is there, or if the request makes material there. A call on the event loop that uses a key with a slow
    algorithm goes to ``SIGNING``. Any other stays where it is.
    """
    if operation.touches_material:
        for key in keys:
            if key.blocks:
                return Lane.KEY_BACKEND
            if key.is_slow and operation.uses and guess is Lane.INLINE:
                guess = Lane.SIGNING
    elif operation.in_key_store is not None and operation.in_key_store(request):
        return Lane.KEY_BACKEND
    return guess
