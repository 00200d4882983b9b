"""What a token does not find: PKCS #11 hides private objects from a session that has lost its login, and says OK."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from softhsm import FaultyModule
from strongroom.crypto.pkcs11 import constants as c
from strongroom.crypto.pkcs11.aes_keys import TokenAesKey
from strongroom.crypto.pkcs11.connection import TokenSession
from strongroom.crypto.pkcs11.token import ModuleToken
from strongroom.crypto.pkcs11.wrapping import (
    create_key_encryption_key,
    create_wrapping_key,
    destroy_wrapping_key,
    is_in_token,
    wrapping_keys_in,
)
from strongroom.crypto.token_errors import TokenFaultError, TokenUnavailableError

ID, ABSENT = bytes(range(16)), bytes(16)
_MORE_THAN_AT_ONCE = 70


def log_out(token: ModuleToken) -> None:
    """End the login behind the back of a token, as another program in the process, or a module, may do."""
    module = token.require().module
    token.run(lambda session: module.functions.call("Logout", session.calls.session))


def is_hidden(token: ModuleToken) -> bool:
    """Tell whether a session of the token answers, and does not find the key."""
    token.check()
    return not is_in_token(token, ID, again=False)


def in_new_connection(token: ModuleToken) -> dict[bytes, str]:
    """Return what keys of ours the token has, whatever its present connection says."""
    token._module.lose(token.generation)
    return wrapping_keys_in(token)


@pytest.mark.parametrize("create", [create_wrapping_key, create_key_encryption_key])
def test_a_key_that_a_lost_login_hides_is_destroyed(any_token: ModuleToken, create: Callable[..., None]) -> None:
    create(any_token, ID, "us-east-1", 1)
    log_out(any_token)
    assert is_hidden(any_token)
    destroy_wrapping_key(any_token, ID)
    assert in_new_connection(any_token) == {}


def test_a_key_that_a_lost_login_hides_is_there(any_token: ModuleToken) -> None:
    create_wrapping_key(any_token, ID, "us-east-1", 1)
    log_out(any_token)
    assert is_hidden(any_token)
    assert is_in_token(any_token, ID)


@pytest.mark.parametrize("others", [0, 1, 9])
def test_a_key_of_a_token_whose_folder_was_away_is_destroyed(tmp_path: Path, token: ModuleToken, others: int) -> None:
    create_wrapping_key(token, ID, "us-east-1", 1)
    for number in range(others):
        create_wrapping_key(token, b"%016d" % number, "us-east-1", 2)
    assert len(in_new_connection(token)) == 1 + others
    (tmp_path / "tokens").rename(tmp_path / "away")
    with suppress(TokenUnavailableError, TokenFaultError):
        is_in_token(token, ID, again=False)
    (tmp_path / "away").rename(tmp_path / "tokens")
    assert is_hidden(token)
    destroy_wrapping_key(token, ID)
    assert len(in_new_connection(token)) == others


def test_a_key_that_is_found_costs_no_connection(token: ModuleToken) -> None:
    create_wrapping_key(token, ID, "us-east-1", 1)
    generation = token.generation
    assert is_in_token(token, ID)
    destroy_wrapping_key(token, ID)
    assert token.generation == generation


def test_what_is_not_there_costs_a_connection_unless_a_witness_is_seen(token: ModuleToken) -> None:
    """A connection ends the sessions of all calls, and the keys that they have unwrapped."""
    generation = token.generation + 1
    token.check()
    destroy_wrapping_key(token, ABSENT)
    assert token.generation == generation + 1
    # One that was made since is none: a connection that has missed all others shows what it has made itself.
    create_wrapping_key(token, ID, "us-east-1", 1)
    destroy_wrapping_key(token, ABSENT)
    assert token.generation == generation + 2
    for _ in range(3):
        destroy_wrapping_key(token, ABSENT)
        assert not is_in_token(token, ABSENT)
    assert token.generation == generation + 2
    # The last witness goes, and with it what would show that others would be seen.
    destroy_wrapping_key(token, ID)
    assert token.generation == generation + 2
    destroy_wrapping_key(token, ID)
    assert token.generation == generation + 3


@pytest.mark.parametrize("others", [1, 20])
def test_witnesses_are_no_witnesses_when_they_are_hidden_too(token: ModuleToken, others: int) -> None:
    create_wrapping_key(token, ID, "us-east-1", 1)
    for number in range(others):
        create_wrapping_key(token, b"%016d" % number, "us-east-1", 2)
    token.run(_foreign(b"theirs"))
    token._module.lose(token.generation)
    token.check()
    log_out(token)
    destroy_wrapping_key(token, ID)
    assert len(in_new_connection(token)) == others


def test_a_destruction_that_cannot_search_again_fails(tmp_path: Path, token: ModuleToken) -> None:
    """The one who asked keeps its note, and tries again."""
    create_wrapping_key(token, ID, "us-east-1", 1)
    log_out(token)
    (tmp_path / "tokens").rename(tmp_path / "away")
    with pytest.raises((TokenUnavailableError, TokenFaultError)):
        destroy_wrapping_key(token, ID)
    (tmp_path / "away").rename(tmp_path / "tokens")


def _foreign(label: bytes | None) -> Callable[[TokenSession], int]:
    named = {} if label is None else {c.CKA_LABEL: label}
    made = {c.CKA_CLASS: c.CKO_SECRET_KEY, c.CKA_KEY_TYPE: c.CKK_AES, c.CKA_TOKEN: True, c.CKA_ENCRYPT: True}
    return lambda session: session.calls.create_object({**made, **named, c.CKA_VALUE: bytes(32)})


def test_all_keys_of_a_token_are_found_however_many_there_are(any_token: ModuleToken) -> None:
    ids = {bytes((number,)) * 16: f"strongroom/us-east-1/{number}" for number in range(_MORE_THAN_AT_ONCE)}
    for number, each in enumerate(ids):
        create_wrapping_key(any_token, each, "us-east-1", number)
    assert wrapping_keys_in(any_token) == ids
    assert all(is_in_token(any_token, each, again=False) for each in ids)


def test_objects_of_other_programs_end_no_listing(any_token: ModuleToken) -> None:
    create_wrapping_key(any_token, ID, "us-east-1", 1)
    for label in (b"theirs", b"x" * 1000, b"\xff", b"", None):
        any_token.run(_foreign(label))
    assert wrapping_keys_in(any_token) == {ID: "strongroom/us-east-1/1"}
    assert TokenAesKey(any_token, ID, "strongroom/us-east-1/1").is_there()
    assert not TokenAesKey(any_token, ID, "theirs").is_there()


def test_an_object_that_is_destroyed_while_a_token_is_searched_ends_no_connection(
    faulty_token: ModuleToken, faulty: FaultyModule
) -> None:
    for number in range(3):
        create_wrapping_key(faulty_token, b"%016d" % number, "us-east-1", 1)
    faulty_token._module.lose(faulty_token.generation)
    faulty.behave("vanish")
    generation = faulty_token.generation + 1
    faulty_token.check()
    assert faulty_token.generation == generation
    faulty.behave("")
    assert len(wrapping_keys_in(faulty_token)) == 2
    # The others are witnesses.
    destroy_wrapping_key(faulty_token, ABSENT)
    assert faulty_token.generation == generation


def test_an_object_that_is_destroyed_while_keys_are_listed_is_left_out(
    faulty_token: ModuleToken, faulty: FaultyModule
) -> None:
    for number in range(3):
        create_wrapping_key(faulty_token, b"%016d" % number, "us-east-1", 1)
    faulty_token._module.lose(faulty_token.generation)
    faulty_token.check()
    generation = faulty_token.generation
    faulty.behave("vanish")
    assert len(wrapping_keys_in(faulty_token)) == 2
    assert faulty_token.generation == generation
