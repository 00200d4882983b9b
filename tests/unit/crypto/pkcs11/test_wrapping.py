"""Domain keys in a token: what they wrap, and that they do not come out."""

import pytest

from local_deployment import entropy
from strongroom.crypto.pkcs11 import constants as c
from strongroom.crypto.pkcs11.connection import TokenSession
from strongroom.crypto.pkcs11.token import ModuleToken
from strongroom.crypto.pkcs11.wrapping import (
    TokenWrapper,
    create_key_encryption_key,
    create_wrapping_key,
    wrapping_keys_in,
)
from strongroom.crypto.seal import UnsealError
from strongroom.crypto.token_errors import TokenFaultError

ID = bytes(range(16))


@pytest.fixture
def wrapper(any_token: ModuleToken) -> TokenWrapper:
    create_wrapping_key(any_token, ID, "us-east-1", 1)
    return TokenWrapper(any_token, ID, 1, entropy)


def test_what_was_wrapped_comes_back(wrapper: TokenWrapper) -> None:
    for length in (0, 1, 32, 5000):
        content = entropy(length)
        envelope = wrapper.wrap(content, b"binding")
        assert envelope.startswith(b"\x11\0\0\0\x01\x0c")
        assert wrapper.unwrap(envelope, b"binding") == content


def test_any_change_is_refused_and_costs_no_connection(any_token: ModuleToken, wrapper: TokenWrapper) -> None:
    envelope = wrapper.wrap(b"key material", b"binding")
    generation = any_token.generation
    with pytest.raises(UnsealError):
        wrapper.unwrap(envelope, b"another binding")
    for place in range(len(envelope)):
        damaged = bytearray(envelope)
        damaged[place] ^= 1
        with pytest.raises(UnsealError):
            wrapper.unwrap(bytes(damaged), b"binding")
    for length in range(len(envelope)):
        with pytest.raises(UnsealError):
            wrapper.unwrap(envelope[:length], b"binding")
    with pytest.raises(UnsealError):
        wrapper.unwrap(envelope[:5] + b"\0" + envelope[6:], b"binding")
    assert any_token.generation == generation
    assert wrapper.unwrap(envelope, b"binding") == b"key material"


def reading(session: TokenSession) -> bytes:
    (handle,) = session.calls.find_objects({c.CKA_ID: ID})
    return session.calls.attribute(handle, c.CKA_VALUE)


def wrapping(session: TokenSession) -> bytes:
    (handle,) = session.calls.find_objects({c.CKA_ID: ID})
    other = session.calls.generate_key(
        {c.CKA_CLASS: c.CKO_SECRET_KEY, c.CKA_KEY_TYPE: c.CKK_AES, c.CKA_VALUE_LEN: 32, c.CKA_WRAP: True}
    )
    return session.calls.wrap_key(other, handle, c.CKM_AES_KEY_WRAP_PAD)


def test_the_key_cannot_be_read(any_token: ModuleToken, wrapper: TokenWrapper) -> None:
    assert wrapper.wrap(b"", b"")
    with pytest.raises(TokenFaultError) as caught:
        any_token.run(reading)
    assert "ATTRIBUTE_SENSITIVE" in caught.value.explanation


def test_softhsm_does_not_wrap_the_key(token: ModuleToken) -> None:
    # The soft token of NSS does, although the key is not extractable. It is no hardware, and here for its differences.
    create_wrapping_key(token, ID, "us-east-1", 1)
    with pytest.raises(TokenFaultError) as caught:
        token.run(wrapping)
    assert "KEY_UNEXTRACTABLE" in caught.value.explanation


def test_making_a_key_again_finds_the_first(any_token: ModuleToken, wrapper: TokenWrapper) -> None:
    envelope = wrapper.wrap(b"x", b"")
    create_wrapping_key(any_token, ID, "us-east-1", 1)
    assert wrapping_keys_in(any_token) == {ID: "strongroom/us-east-1/1"}
    assert wrapper.unwrap(envelope, b"") == b"x"


def test_a_key_that_is_there_for_another_use_is_refused_and_stays(
    any_token: ModuleToken, wrapper: TokenWrapper
) -> None:
    """A key encryption key that decrypts would read out what it has wrapped."""
    envelope = wrapper.wrap(b"x", b"")
    with pytest.raises(TokenFaultError) as caught:
        create_key_encryption_key(any_token, ID, "us-east-1", 1)
    assert "could give away" in caught.value.explanation
    assert wrapper.unwrap(envelope, b"") == b"x"


def test_making_a_key_encryption_key_again_finds_the_first(any_token: ModuleToken) -> None:
    for _ in range(2):
        create_key_encryption_key(any_token, ID, "us-east-1", 1)
    assert wrapping_keys_in(any_token) == {ID: "strongroom/us-east-1/1"}
