"""Names of audit writers: node and worker in one word that fits every place it is written to."""

import pytest

from strongroom.audit.chain import GENESIS, Position, claim_of, link, parse_name, segment_name
from strongroom.audit.writer_id import LONGEST_WRITER, WriterId, parse_writer
from strongroom.node_id import RANDOM_BYTES, NodeId, node_id_of, parse_node_id
from strongroom.store.sql.schema import audit_checkpoint, audit_mark

NODE = NodeId("a1b2c3d4e5f6")


@pytest.mark.parametrize("node", [None, NODE, NodeId("0" * 12), NodeId("f" * 12)])
@pytest.mark.parametrize(
    ("worker", "xks"), [(0, False), (7, False), (59, False), (999, False), (None, False), (0, True)]
)
def test_a_name_is_parsed_back_wherever_it_is_written(node: NodeId | None, worker: int | None, *, xks: bool) -> None:
    writer = WriterId(node or NODE if worker is None or xks else node, worker, xks)
    assert parse_writer(writer.name) == writer
    assert len(writer.name) <= LONGEST_WRITER
    after = Position(writer.name, 6, GENESIS)
    segment = parse_name(segment_name(1_790_000_000.0, after))
    assert segment is not None
    assert (segment.writer, segment.first) == (writer.name, 7)
    line, position = link([b'{"eventName":"ListKeys"}'], after)
    assert claim_of(line.rstrip()) == position
    assert position.writer == writer.name


def test_the_database_has_room_for_the_longest_name() -> None:
    for table in (audit_checkpoint, audit_mark):
        assert str(table.c.writer.type) == f"VARCHAR({LONGEST_WRITER})"
    assert str(audit_checkpoint.c.node.type) == f"VARCHAR({len(NODE)})"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "w",
        "w00",
        "w1000",
        "W0",
        "0",
        "a1b2c3d4e5f6",
        "a1b2w0",
        "a1b2c3d4e5f6w",
        "a1b2c3d4e5f6a1w0",
        "A1B2C3D4E5F6w0",
        "cli",
        "a1b2cli",
        "a1b2c3d4e5f6cli0",
        "x0",
        "a1b2c3d4e5f6x",
        "a1b2c3d4e5f6x00",
    ],
)
def test_other_names_are_none_of_a_writer(name: str) -> None:
    assert parse_writer(name) is None


def test_chains_without_a_node_may_be_of_any_and_others_of_theirs_only() -> None:
    assert WriterId(None, 0).is_of(NODE)
    assert WriterId(None, 0).is_of(None)
    assert WriterId(NODE, 0).is_of(NODE)
    assert not WriterId(NODE, 0).is_of(NodeId("0" * 12))
    assert not WriterId(NODE, 0).is_of(None)


def test_node_ids_are_made_of_random_bytes() -> None:
    assert node_id_of(bytes(range(RANDOM_BYTES))) == "000102030405"
    assert parse_node_id("000102030405") == "000102030405"
    assert parse_node_id("00010203040") is None
    assert parse_node_id("00010203040g") is None
