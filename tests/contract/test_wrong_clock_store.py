"""What a store keeps and finds after it was written to with a wrong clock."""

from functools import partial
from math import inf

from keys_builder import make_key
from strongroom.clock import DAY
from strongroom.keys import lifecycle
from strongroom.keys.kms_key import KmsKey
from strongroom.store.protocol import Store, Transaction
from strongroom.store.records import KeyUse

NOW = 1_790_000_000.0


def add(store: Store, key: KmsKey) -> KmsKey:
    store.write(lambda transaction: transaction.add_key(key))
    return key


def test_keys_that_a_wrong_clock_has_dated_are_found(store: Store) -> None:
    rotating = add(store, lifecycle.enable_rotation(make_key(1), 90, NOW))
    leaving = add(store, lifecycle.schedule_deletion(make_key(2), 7, NOW))
    add(store, make_key(3))
    with store.read() as reader:
        # The period and the window begin at the time of each key, so none is too late by then, and each is before.
        assert reader.misdated_keys(NOW - DAY, DAY, inf, 10) == []
        assert reader.misdated_keys(NOW - DAY - 1, DAY, inf, 10) == [rotating.locator, leaving.locator]
        assert reader.misdated_keys(NOW - DAY - 1, DAY, inf, 1) == [rotating.locator]
        # A waiting period that began while the clock was behind.
        assert reader.misdated_keys(NOW + 1, DAY, NOW, 10) == [leaving.locator]
        assert reader.misdated_keys(NOW + 1, DAY, NOW + 0.5, 10) == []
        assert reader.misdated_keys(NOW, DAY, NOW, 10) == []


def note_key_uses(use: KeyUse, transaction: Transaction) -> None:
    transaction.note_key_uses([use], NOW)


def test_a_use_in_the_future_is_replaced_by_the_next_one(store: Store) -> None:
    """The clock was ahead when it was noted.

    A use of days ago, which is found in the log of a node that was down, does not take the place of another node's.
    """
    key = add(store, make_key(1))
    uses = [KeyUse(key.locator, "Encrypt", at, "event", "request") for at in (NOW + DAY + 1, NOW, NOW - 3 * DAY)]
    for use in uses:
        store.write(partial(note_key_uses, use))
    with store.read() as reader:
        assert reader.key_use(key.locator) == uses[1]
