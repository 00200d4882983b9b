"""What stores know of the audit log: its key, its writers and their newest checkpoints, with each back end."""

import msgspec
import pytest
from sqlalchemy.exc import IntegrityError

from strongroom.audit.chain import Checkpoint, KnownWriter
from strongroom.audit.sink import AuditMark
from strongroom.node_id import NodeId
from strongroom.store.protocol import Store, Transaction
from strongroom.store.records import (
    AuditWriterRecord,
)

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
