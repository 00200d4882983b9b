"""How nodes do, by two looks at what they have acknowledged."""

import pytest

from strongroom.assembly.nodes import still_behind
from strongroom.node_id import NodeId
from strongroom.store.records import MemberRecord

NODE = NodeId("a1b2c3d4e5f6")


def member(newest: int, acked: int) -> MemberRecord:
    return MemberRecord(NODE, 1, is_alive=True, behind=newest - acked, acked=acked)


@pytest.mark.parametrize(
    ("before", "after", "behind"),
    [
        (member(10, 8), member(10, 10), 0),
        # There are newer changes, but those of the first look are acknowledged.
        (member(10, 8), member(30, 28), 0),
        (member(10, 8), member(30, 10), 0),
        (member(10, 8), member(30, 9), 1),
        (member(10, 8), member(30, 8), 2),
        (member(10, 10), member(30, 10), 0),
    ],
)
def test_a_node_is_late_if_it_does_not_acknowledge_what_it_did_not_a_moment_ago(
    before: MemberRecord, after: MemberRecord, behind: int
) -> None:
    assert [each.behind for each in still_behind([before], [after])] == [behind]


def test_a_node_that_has_just_joined_is_not_late() -> None:
    assert [each.behind for each in still_behind([], [member(30, 8)])] == [0]
