"""Codes of rows: made under the newest version of the domain key, checked under every version."""

from collections.abc import Callable

import pytest

from strongroom.crypto.binding import binding
from strongroom.crypto.domain_keys import IAM_SCOPE, DomainKeys, create_domain_key, reseal
from strongroom.crypto.row_authentication import RowKeys
from strongroom.crypto.seal import SealedDomainKey, UnsealError
from strongroom.crypto.seals.root_key import RootKey, RootKeySeal
from strongroom.errors import DependencyTimeoutException

ENTROPY = bytes


def keys(*versions: int) -> RowKeys:
    made = RowKeys()
    made.update({version: bytes([version]) * 32 for version in versions})
    return made


def test_the_newest_version_makes_codes_and_all_check_them() -> None:
    old, both = keys(1), keys(2, 1)
    assert both.mac(b"row")[:5] == b"\x01\x00\x00\x00\x02"
    assert both.verifies(b"row", both.mac(b"row"))
    assert both.verifies(b"row", old.mac(b"row"))
    assert not old.verifies(b"row", both.mac(b"row"))
    assert both.mac(b"row") != old.mac(b"row")


def test_a_version_that_is_given_again_is_another_key() -> None:
    """A database that was set back, as after a failover with loss, gives the version of a lost rotation again."""
    made, lost = keys(1, 2), keys(1, 2)
    made.update({1: b"\x01" * 32, 2: b"n" * 32})
    assert not made.verifies(b"row", lost.mac(b"row"))
    assert made.verifies(b"row", keys(1).mac(b"row"))


def test_what_a_version_has_made_that_is_another_key_now_and_cannot_be_opened_is_not_known_to_be_wrong() -> None:
    made, given_again = keys(1, 2), RowKeys()
    given_again.update({1: b"\x01" * 32, 2: b"n" * 32})
    made.note_closed([2])
    with pytest.raises(DependencyTimeoutException):
        made.verifies(b"row", given_again.mac(b"row"))
    # Nor is a code made with the lost key.
    assert made.version == 1


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "shorter": lambda mac: mac[:-1],
    "longer": lambda mac: mac + b"x",
    "another format": lambda mac: b"\x02" + mac[1:],
    "one bit": lambda mac: mac[:-1] + bytes([mac[-1] ^ 1]),
    "no bytes": lambda _: b"",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_any_other_bytes_are_no_code(change: Callable[[bytes], bytes]) -> None:
    mac = keys(1).mac(b"row")
    assert not keys(1).verifies(b"row", change(mac))
    assert not keys(1).verifies(b"Row", mac)


def test_the_seal_tells_whether_rows_must_have_codes() -> None:
    seal = RootKeySeal(RootKey(bytes(32)), ENTROPY)
    new = create_domain_key(IAM_SCOPE, 1, seal, ENTROPY)
    assert DomainKeys([new], seal, ENTROPY).rows_have_codes
    # A release that made no codes bound it to its scope and version alone, as the key of a Region still is.
    other = create_domain_key("us-east-1", 1, seal, ENTROPY)
    with pytest.raises(UnsealError):
        DomainKeys([SealedDomainKey(IAM_SCOPE, 1, other.sealed)], seal, ENTROPY)
    with pytest.raises(UnsealError):
        DomainKeys([SealedDomainKey("us-east-1", 1, new.sealed)], seal, ENTROPY)


def test_a_key_that_is_sealed_anew_is_the_same_key() -> None:
    seal = RootKeySeal(RootKey(bytes(32)), ENTROPY)
    old = SealedDomainKey(IAM_SCOPE, 1, seal.seal(b"k" * 32, binding("domain-key", IAM_SCOPE, "1")))
    before = DomainKeys([old], seal, ENTROPY)
    after = DomainKeys([reseal(old, seal)], seal, ENTROPY)
    assert (before.rows_have_codes, after.rows_have_codes) == (False, True)
    assert after.row_keys.verifies(b"row", before.row_keys.mac(b"row"))
    assert after.unwrap(IAM_SCOPE, before.wrap(IAM_SCOPE, b"secret", b"bound"), b"bound") == b"secret"
