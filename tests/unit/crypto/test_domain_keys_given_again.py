"""A version of a domain key that was given again, after a failover with loss, in a process that knows the lost key."""

import pytest

from strongroom.crypto.domain_keys import IAM_SCOPE, DomainKeys, create_domain_key, full_depth_domain_key
from strongroom.crypto.hsm.wrapped_keys import WrappedKey, opened, token_of
from strongroom.crypto.seal import SealedDomainKey, UnsealError
from strongroom.crypto.seals.root_key import RootKey, RootKeySeal
from strongroom.entropy import system_entropy
from strongroom.errors import DependencyTimeoutException

SEAL = RootKeySeal(RootKey(bytes(32)), system_entropy)


def sealed(version: int, now: float) -> SealedDomainKey:
    return create_domain_key(IAM_SCOPE, version, SEAL, system_entropy, now)


MADE = ((b"l", 1.0), (b"k", 2.0))
FIRST, LOST, KEPT = sealed(1, 0.0), sealed(2, 1.0), sealed(2, 2.0)


def keys(*found: SealedDomainKey) -> DomainKeys:
    return DomainKeys(found, SEAL, system_entropy)


def test_what_the_new_key_has_made_is_not_damaged_while_that_key_cannot_be_opened() -> None:
    process, others = keys(FIRST, LOST), keys(FIRST, KEPT)
    wrapped, mac = others.wrap(IAM_SCOPE, b"secret", b""), others.row_keys.mac(b"row")
    process.note_closed([FIRST, KEPT])
    with pytest.raises(DependencyTimeoutException):
        process.unwrap(IAM_SCOPE, wrapped, b"")
    with pytest.raises(DependencyTimeoutException):
        process.row_keys.verifies(b"row", mac)
    # Nothing is made with the lost key meanwhile, and the new one is tried again.
    assert not process.row_keys.require(2)
    assert others.unwrap(IAM_SCOPE, process.wrap(IAM_SCOPE, b"secret", b""), b"") == b"secret"
    assert not process.are([FIRST, KEPT])
    process.update([FIRST, KEPT], SEAL)
    assert process.unwrap(IAM_SCOPE, wrapped, b"") == b"secret"
    assert process.row_keys.verifies(b"row", mac)


def test_nothing_is_wrapped_with_the_lost_key_if_there_is_no_other() -> None:
    process = keys(LOST)
    process.note_closed([KEPT])
    with pytest.raises(DependencyTimeoutException):
        process.wrap(IAM_SCOPE, b"secret", b"")


def test_a_lost_key_that_was_dropped_does_not_tell_that_anything_is_damaged() -> None:
    process, others = keys(FIRST, LOST), keys(FIRST, KEPT)
    process.update([FIRST], SEAL)
    process.note_closed([FIRST, KEPT])
    with pytest.raises(DependencyTimeoutException):
        process.unwrap(IAM_SCOPE, others.wrap(IAM_SCOPE, b"secret", b""), b"")
    with pytest.raises(DependencyTimeoutException):
        process.row_keys.verifies(b"row", others.row_keys.mac(b"row"))


def test_a_change_that_was_noted_is_read_before_anything_is_taken_for_damaged() -> None:
    process, others = keys(FIRST, LOST), keys(FIRST, KEPT)
    wrapped, mac = others.wrap(IAM_SCOPE, b"secret", b""), others.row_keys.mac(b"row")
    process.follow(lambda: process.update([FIRST, KEPT], SEAL), lambda: None)
    with pytest.raises(UnsealError):
        process.unwrap(IAM_SCOPE, wrapped, b"")
    assert not process.row_keys.verifies(b"row", mac)
    process.note_change()
    assert process.unwrap(IAM_SCOPE, wrapped, b"") == b"secret"


def test_a_change_that_was_noted_is_read_for_a_code_of_a_row() -> None:
    process, others = keys(FIRST, LOST), keys(FIRST, KEPT)
    process.follow(lambda: process.update([FIRST, KEPT], SEAL), lambda: None)
    process.note_change()
    assert process.row_keys.verifies(b"row", others.row_keys.mac(b"row"))


def test_a_write_makes_no_code_with_the_lost_key_after_the_change_was_noted() -> None:
    process, others = keys(FIRST, LOST), keys(FIRST, KEPT)
    process.follow(lambda: process.update([FIRST, KEPT], SEAL), lambda: None)
    process.note_change()
    assert process.row_keys.require(2)
    assert others.row_keys.verifies(b"row", process.row_keys.mac(b"row"))


def test_a_change_that_was_noted_is_read_for_a_key_that_hardware_has_wrapped() -> None:
    lost, kept = (full_depth_domain_key("r", 1, each * 16, SEAL, system_entropy, now) for each, now in MADE)
    process, others = keys(lost), keys(kept)
    domain_key = others.newest_of_full_depth("r")
    assert domain_key is not None
    token = token_of(domain_key, WrappedKey(b"wrapped", b""), b"")
    process.follow(lambda: process.update([kept], SEAL), lambda: None)
    process.note_change()
    found, key = opened(process, "r", token, b"")
    assert (found.object_id, key.wrapped) == (b"k" * 16, b"wrapped")
