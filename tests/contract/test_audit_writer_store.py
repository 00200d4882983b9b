"""What stores know of the audit log: its key, its writers and their newest checkpoints, with each back end."""

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import msgspec
import pytest
from msgspec.structs import replace
from sqlalchemy.exc import IntegrityError

from keys_builder import make_key
from strongroom.audit.chain import Checkpoint, KnownWriter
from strongroom.audit.sink import AuditMark
from strongroom.node_id import NodeId
from strongroom.store.protocol import Store, Transaction
from strongroom.store.records import AuditWriterRecord, KeyUse, RetiredNode
from strongroom.store.scopes import AccountScope

NOW = 1_790_000_000.0
ACCOUNT = "111122223333"
REGION = "us-east-1"


def test_the_store_has_one_audit_key_and_the_newest_checkpoint_of_each_writer(store: Store) -> None:
    first, second, other = (
        Checkpoint(msgspec.Raw(b'{"sequence":%d}' % number), bytes((number,))) for number in (1, 2, 3)
    )
    with store.read() as reader:
        assert reader.audit_key() is None
        assert reader.audit_writers() == {}

    def change(transaction: Transaction) -> None:
        transaction.add_audit_key(b"wrapped")
        transaction.put_audit_writer("w0", KnownWriter(first), 1.0)
        transaction.put_audit_writer("w1", KnownWriter(other), 2.0)
        transaction.put_audit_writer("w2", KnownWriter(), 3.0)
        transaction.put_audit_writer("w0", KnownWriter(second, stopped=True), 4.0)

    store.write(change)
    with store.read() as reader:
        assert reader.audit_key() == b"wrapped"
        assert reader.audit_writers() == {
            "w0": KnownWriter(second, stopped=True),
            "w1": KnownWriter(other),
            "w2": KnownWriter(),
        }
        assert [(each.writer, each.node, each.first_seen) for each in reader.audit_writer_records()] == [
            ("w0", None, 1.0),
            ("w1", None, 2.0),
            ("w2", None, 3.0),
        ]
    with pytest.raises(IntegrityError):
        store.write(lambda transaction: transaction.add_audit_key(b"another"))


def test_writers_belong_to_the_node_in_their_name_and_those_without_one_are_claimed_once(store: Store) -> None:
    first, second = NodeId("a1b2c3d4e5f6"), NodeId("0123456789ab")
    known = KnownWriter(Checkpoint(msgspec.Raw(b"{}"), b"signature"))
    store.write(lambda transaction: transaction.put_audit_writer(f"{first}w0", KnownWriter(), 1.0))
    store.write(lambda transaction: transaction.put_audit_writer("w0", known, 2.0))
    store.write(lambda transaction: transaction.claim_audit_writers(second))
    store.write(lambda transaction: transaction.claim_audit_writers(first))
    with store.read() as reader:
        assert reader.audit_writer_records() == [
            AuditWriterRecord(f"{first}w0", first, 1.0, KnownWriter()),
            AuditWriterRecord("w0", second, 2.0, known),
        ]


def test_a_restored_database_forgets_the_writers_and_their_marks(store: Store) -> None:
    store.write(lambda transaction: transaction.add_audit_key(b"wrapped"))
    store.write(lambda transaction: transaction.put_audit_writer("w0", KnownWriter(), 1.0))
    store.write(lambda transaction: transaction.put_audit_mark(AuditMark("w0", "segment", 5)))
    store.write(lambda transaction: transaction.forget_audit_writers())
    with store.read() as reader:
        assert reader.audit_writer_records() == []
        assert reader.audit_marks() == []
        assert reader.audit_key() == b"wrapped"


def test_one_writer_is_found_by_its_name(store: Store) -> None:
    known = KnownWriter(Checkpoint(msgspec.Raw(b"{}"), b"signature"), stopped=True)
    store.write(lambda transaction: transaction.put_audit_writer("w0", known, 1.0))
    with store.read() as reader:
        assert (reader.audit_writer("w0"), reader.audit_writer("w1")) == (known, None)


def test_a_node_is_retired_once(store: Store) -> None:
    first, second = NodeId("a1b2c3d4e5f6"), NodeId("0123456789ab")
    retired = RetiredNode(first, NOW, f"{second}cli")
    store.write(lambda transaction: transaction.retire_node(retired), AccountScope(""))
    store.write(lambda transaction: transaction.retire_node(RetiredNode(first, NOW + 1, "w")), AccountScope(""))
    with store.read() as reader:
        assert (reader.retired_node(first), reader.retired_node(second)) == (replace(retired, stated_by="w"), None)


def test_writers_of_several_nodes_record_their_checkpoints_and_marks_at_once(store: Store, other: Store) -> None:
    """And each has its own in the end; none waits for another one without a limit."""
    names = [f"{node}{worker}" for node in ("a1b2c3d4e5f6", "0123456789ab") for worker in ("w0", "w1", "cli")]

    def known(name: str, number: int) -> KnownWriter:
        return KnownWriter(Checkpoint(msgspec.Raw(b'{"%b":%d}' % (name.encode(), number)), b"s"), stopped=number == 20)

    def record(name: str) -> None:
        through = store if name.startswith("a") else other
        for number in range(1, 21):
            through.write(partial(put, name, number))

    def put(name: str, number: int, transaction: Transaction) -> None:
        assert transaction.audit_writer(name) == (known(name, number - 1) if number > 1 else None)
        transaction.put_audit_writer(name, known(name, number), number)
        transaction.put_audit_mark(AuditMark(name, "segment", number))

    with ThreadPoolExecutor(len(names)) as threads:
        list(threads.map(record, names))
    with store.read() as reader:
        assert reader.audit_writers() == {name: known(name, 20) for name in names}
        assert {mark.writer: mark.offset for mark in reader.audit_marks()} == dict.fromkeys(names, 20)
        assert {each.first_seen for each in reader.audit_writer_records()} == {1.0}


def test_nodes_save_uses_of_the_same_keys_at_once_and_the_latest_is_kept(store: Store, other: Store) -> None:
    keys = [make_key(number) for number in range(8)]
    store.write(lambda transaction: [transaction.add_key(key) for key in keys])
    start = threading.Barrier(4)

    def save(turn: int) -> None:
        start.wait(20)
        through = (store, other)[turn % 2]
        for at in range(turn, 80, 4):
            uses = [KeyUse(key.locator, "Encrypt", NOW + at, f"event {at}", "request") for key in keys]
            through.write(lambda transaction: transaction.note_key_uses(uses, NOW))  # noqa: B023 - run at once

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(save, range(4)))
    with other.read() as reader:
        assert {use.event_id for key in keys if (use := reader.key_use(key.locator)) is not None} == {"event 79"}
