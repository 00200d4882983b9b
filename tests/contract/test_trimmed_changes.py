"""The change log of every store is trimmed: readers notice, and no statement removes more than a slice of it."""

import pytest

from keys_builder import make_key
from strongroom.keys.kms_key import KmsKey
from strongroom.store.protocol import Store
from strongroom.store.sql import change_log


def add_key(store: Store, key: KmsKey) -> None:
    store.write(lambda transaction: transaction.add_key(key))


def add_keys(store: Store, number: int) -> int:
    """Add keys; return the number of the newest change."""
    for each in range(number):
        add_key(store, make_key(each))
    return store.changes(0).last


def test_changes_before_a_trimmed_change_log_are_incomplete(store: Store) -> None:
    last = add_keys(store, 10)
    store.trim_changes(3)
    assert not store.changes(0).complete
    assert store.changes(last - 3).complete
    assert len(store.changes(last - 3).entries) == 3
    assert store.changes(last).complete


def test_a_long_change_log_is_trimmed_in_slices(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """One statement for millions of entries would reach the limit of its time, and so again in every round."""
    assert add_keys(store, 10) == 10
    monkeypatch.setattr(change_log, "_SLICE", 2)
    monkeypatch.setattr(change_log, "_SLICES", 3)
    store.trim_changes(1)
    assert not store.changes(5).complete
    assert store.changes(7).complete
    store.trim_changes(1)
    assert not store.changes(7).complete
    assert store.changes(9).complete
