"""The last use of each key: known at once, written periodically, and not lost if a write fails."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import pytest
from typing_extensions import override

from keys_builder import NOW, locator, make_key
from strongroom.audit.sink import AuditMark
from strongroom.errors import DependencyTimeoutException
from strongroom.store.protocol import Store, Transaction
from strongroom.store.records import KeyUse
from strongroom.store.scopes import Scope
from strongroom.store.sql.transaction import SqlTransaction
from strongroom.store.sqlite.engine import open_sqlite
from strongroom.store.sqlite.store import SqlStore
from strongroom.usage.key_usage import KeyUses, Tail

T = TypeVar("T")


class FailingStore(SqlStore):
    """A store whose transactions fail while ``fails`` is set."""

    fails = False

    @override
    def write(self, act: Callable[[SqlTransaction], T], *scopes: Scope) -> T:
        if self.fails:
            raise DependencyTimeoutException("busy")
        return super().write(act, *scopes)


class EmptyLog:
    """An audit log without records."""

    def since(self, _mark: AuditMark, _text: bytes) -> Iterator[bytes]:
        return iter(())


EMPTY_LOG = EmptyLog()
MARK = AuditMark("w0", "", 0)


@pytest.fixture
def two_keys(store: Store) -> Store:
    def change(transaction: Transaction) -> None:
        for number in (1, 2):
            transaction.add_key(make_key(number))

    store.write(change)
    return store


def use(number: int, operation: str = "Encrypt", at: float = NOW) -> KeyUse:
    return KeyUse(locator(number), operation, at, f"event {operation}", f"request {operation}")


def uses_of(store: Store, tail: Tail = EMPTY_LOG) -> KeyUses:
    operations = frozenset({"Encrypt", "Decrypt", "ReEncrypt"})
    return KeyUses(store, tail, operations, lambda writer: writer.startswith("w"), lambda: NOW)


def written(store: Store, number: int) -> KeyUse | None:
    """Return the last use of a key as it is stored, as another worker reads it."""
    return uses_of(store).last(locator(number))


def test_a_use_that_began_earlier_and_ended_later_is_not_the_last(two_keys: Store) -> None:
    uses = uses_of(two_keys)
    uses.note(use(1, "Encrypt", NOW + 1))
    uses.note(use(1, "Sign", NOW))
    assert uses.last(locator(1)) == use(1, "Encrypt", NOW + 1)
    uses.write(MARK)
    uses.note(use(1, "Sign", NOW + 0.5))
    uses.write(MARK)
    assert written(two_keys, 1) == use(1, "Encrypt", NOW + 1)


def test_uses_of_many_keys_are_written_in_batches(store: Store) -> None:
    uses, many = uses_of(store), 1203

    def change(transaction: Transaction) -> None:
        for number in range(many - 1):
            transaction.add_key(make_key(number))

    store.write(change)
    for number in range(many):
        uses.note(use(number))
    uses.write(MARK)
    assert [written(store, number) for number in range(many)] == [use(number) for number in range(many - 1)] + [None]


def test_a_use_is_known_at_once_and_written_later(two_keys: Store) -> None:
    uses = uses_of(two_keys)
    assert uses.last(locator(1)) is None
    for operation in ("Encrypt", "Decrypt"):
        uses.note(use(1, operation))
    assert (uses.last(locator(1)), written(two_keys, 1)) == (use(1, "Decrypt"), None)
    uses.write(MARK)
    assert uses.last(locator(1)) == written(two_keys, 1) == use(1, "Decrypt")
    assert uses.last(locator(2)) is None
    uses.write(MARK)
    assert written(two_keys, 1) == use(1, "Decrypt")


def test_an_older_use_does_not_hide_a_later_one_of_another_worker(two_keys: Store) -> None:
    early, late = uses_of(two_keys), uses_of(two_keys)
    early.note(use(1, "Encrypt", NOW))
    late.note(use(1, "Decrypt", NOW + 1))
    late.write(MARK)
    early.write(MARK)
    assert written(two_keys, 1) == use(1, "Decrypt", NOW + 1)


def test_erasing_a_key_erases_its_last_use(two_keys: Store) -> None:
    uses = uses_of(two_keys)
    for number in (1, 2):
        uses.note(use(number))
    uses.write(MARK)
    two_keys.write(lambda transaction: transaction.erase_key(make_key(1)))
    uses.note(use(1, "Decrypt"))
    uses.note(use(2, "Decrypt"))
    uses.write(MARK)
    assert (written(two_keys, 1), written(two_keys, 2)) == (None, use(2, "Decrypt"))


def test_uses_that_could_not_be_written_are_retried(two_keys: Store, tmp_path: Path) -> None:
    store = FailingStore(open_sqlite(tmp_path / "strongroom.db"))
    uses = uses_of(store)
    for number in (1, 2):
        uses.note(use(number))
    store.fails = True
    with pytest.raises(DependencyTimeoutException):
        uses.write(MARK)
    uses.note(use(2, "Decrypt"))
    assert (uses.last(locator(1)), uses.last(locator(2))) == (use(1), use(2, "Decrypt"))
    store.fails = False
    uses.write(MARK)
    assert (written(two_keys, 1), written(two_keys, 2)) == (use(1), use(2, "Decrypt"))
    store.close()


def recorded(number: int, operation: str, at: str = "2026-09-21T14:13:30Z", **more: str) -> bytes:
    """Return a line of the audit log: the record of a call on a key."""
    record = {
        "eventName": operation,
        "eventTime": at,
        "eventType": "AwsApiCall",
        "requestID": f"request {operation}",
        "eventID": f"event {operation}",
        "resources": [{"ARN": make_key(number).arn}],
        **more,
    }
    return json.dumps(record, separators=(",", ":")).encode()


class Log:
    """An audit log of several workers: the lines of each writer by its name, the newest last."""

    def __init__(self, **lines: list[bytes]) -> None:
        self.lines = lines

    def since(self, mark: AuditMark, text: bytes) -> Iterator[bytes]:
        return (line for line in reversed(self.lines.get(mark.writer, [])) if text in line)


def with_marks(store: Store, *writers: str) -> Store:
    def change(transaction: Transaction) -> None:
        for writer in writers:
            transaction.put_audit_mark(AuditMark(writer, "segment", 7))

    store.write(change)
    return store


def test_uses_in_the_audit_records_of_other_workers_count(two_keys: Store) -> None:
    at = datetime(2026, 9, 21, 14, 13, 30, tzinfo=UTC).timestamp()
    refused = recorded(1, "ReEncrypt", "2026-09-21T14:13:40Z", errorCode="DisabledException")
    other = recorded(1, "DescribeKey", "2026-09-21T14:13:41Z")
    log = Log(w0=[recorded(2, "Encrypt")], w1=[recorded(1, "Encrypt"), recorded(1, "Decrypt"), refused, other, b"{"])
    uses = uses_of(with_marks(two_keys, "w0", "w1"), log)
    assert uses.last(locator(1)) == use(1, "Decrypt", at)
    uses.note(use(1, "Encrypt", at - 1))
    assert uses.last(locator(1)) == use(1, "Decrypt", at)
    uses.note(use(1, "ReEncrypt", at + 1))
    assert uses.last(locator(1)) == use(1, "ReEncrypt", at + 1)


def test_uses_that_a_crash_left_unwritten_are_recovered_from_the_audit_log(two_keys: Store) -> None:
    at = datetime(2026, 9, 21, 14, 13, 30, tzinfo=UTC).timestamp()
    log = Log(w0=[recorded(1, "Encrypt"), recorded(1, "Decrypt")], w1=[recorded(2, "Encrypt")])
    uses = uses_of(with_marks(two_keys, "w0", "w1"), log)
    uses.recover("w0")
    uses.write(MARK)
    assert written(two_keys, 1) == use(1, "Decrypt", at)
    assert written(two_keys, 2) is None
    # After recovery the worker keeps its uses in memory, and does not read its own log.
    log.lines["w0"].append(recorded(1, "ReEncrypt", "2026-09-21T14:13:50Z"))
    assert uses.last(locator(1)) == use(1, "Decrypt", at)


def test_audit_marks_are_written_only_if_they_have_changed(two_keys: Store) -> None:
    uses = uses_of(two_keys)
    ends = [AuditMark("w0", "segment", 7), AuditMark("w1", "segment", 8)]
    uses.write(*ends)
    with two_keys.read() as reader:
        assert reader.audit_marks() == ends
    two_keys.write(lambda transaction: transaction.put_audit_mark(AuditMark("w1", "segment", 9)))
    uses.write(ends[1])
    with two_keys.read() as reader:
        assert reader.audit_marks() == [ends[0], AuditMark("w1", "segment", 9)]


def test_an_unwritten_use_is_kept_if_it_is_later_than_one_noted_after_it(two_keys: Store, tmp_path: Path) -> None:
    store = FailingStore(open_sqlite(tmp_path / "strongroom.db"))
    uses = uses_of(store)
    uses.note(use(1, "Encrypt", NOW + 1))
    store.fails = True
    with pytest.raises(DependencyTimeoutException):
        uses.write(MARK)
    uses.note(use(1, "Decrypt", NOW))
    assert uses.last(locator(1)) == use(1, "Encrypt", NOW + 1)
    store.fails = False
    uses.write(MARK)
    assert written(two_keys, 1) == use(1, "Encrypt", NOW + 1)
    store.close()
