"""The key state matrix, compared with a second, independent transcript of the developer guide's table."""

import pytest

from strongroom.errors import DisabledException, KmsError, KMSInvalidStateException, UnsupportedOperationException
from strongroom.keys.states import KeyState, StateRule, require_state

D = (DisabledException, "KEY is disabled.")
P = (KMSInvalidStateException, "KEY is pending deletion.")
I = (KMSInvalidStateException, "KEY is pending import.")  # noqa: E741 - lines up with the table below
U = (KMSInvalidStateException, "KEY is unavailable.")
C = (KMSInvalidStateException, "KEY is creating.")
G = (KMSInvalidStateException, "KEY is updating.")
N = (KMSInvalidStateException, "KEY is not pending deletion.")
O = (UnsupportedOperationException, "KEY origin is EXTERNAL which is not valid for this operation.")  # noqa: E741
Y = None

STATES = [
    KeyState.ENABLED,
    KeyState.DISABLED,
    KeyState.PENDING_DELETION,
    KeyState.PENDING_REPLICA_DELETION,
    KeyState.PENDING_IMPORT,
    KeyState.UNAVAILABLE,
    KeyState.CREATING,
    KeyState.UPDATING,
]

# fmt: off
TABLE: dict[StateRule, list[tuple[type[KmsError], str] | None]] = {
    StateRule.USE:               [Y, D, P, P, I, U, C, Y],
    StateRule.PUBLISH:           [Y, D, P, P, I, U, C, Y],
    StateRule.READ:              [Y, Y, Y, Y, Y, Y, Y, Y],
    StateRule.ANNOTATE:          [Y, Y, P, P, Y, Y, Y, Y],
    StateRule.SWITCH:            [Y, Y, P, P, I, Y, C, G],
    StateRule.SCHEDULE_DELETION: [Y, Y, P, P, Y, Y, Y, G],
    StateRule.CANCEL_DELETION:   [N, N, Y, Y, N, N, N, N],
    StateRule.SET_ROTATION:      [Y, D, P, P, O, Y, C, Y],
    StateRule.GRANT:             [Y, D, P, P, I, Y, C, Y],
    StateRule.ROTATE:            [Y, D, P, P, I, Y, C, G],
    StateRule.PREPARE_IMPORT:    [Y, Y, P, P, Y, Y, C, G],
    StateRule.IMPORT:            [Y, Y, P, P, Y, Y, C, Y],
    StateRule.DELETE_MATERIAL:   [Y, Y, Y, Y, Y, Y, C, G],
    StateRule.REPLICATE:         [Y, D, P, P, I, U, C, G],
    StateRule.MOVE_PRIMARY:      [Y, D, P, P, I, U, C, Y],
}
# fmt: on

CELLS = [(rule, state, TABLE[rule][column]) for rule in StateRule for column, state in enumerate(STATES)]


@pytest.mark.parametrize(("rule", "state", "refusal"), CELLS)
def test_a_cell_of_the_matrix(rule: StateRule, state: KeyState, refusal: tuple[type[KmsError], str] | None) -> None:
    if refusal is None:
        require_state(rule, state, "KEY")
        return
    with pytest.raises(refusal[0]) as caught:
        require_state(rule, state, "KEY")
    assert caught.value.message == refusal[1]
