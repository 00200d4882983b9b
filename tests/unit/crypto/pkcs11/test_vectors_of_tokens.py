"""Tokens that draw the initialization vectors of AES-GCM themselves, as some do, and one that does it wrongly."""

import pytest

from local_deployment import entropy
from softhsm import FaultyModule
from strongroom.crypto.pkcs11.calls import IvSource
from strongroom.crypto.pkcs11.token import ModuleToken
from strongroom.crypto.pkcs11.wrapping import TokenWrapper, create_wrapping_key
from strongroom.crypto.seal import UnsealError
from strongroom.crypto.token_errors import TokenFaultError

ID = bytes(range(16))


@pytest.mark.parametrize(
    ("how", "source", "length"), [("own-iv", IvSource.PARAMETER, 12), ("append-iv", IvSource.APPENDED, 16)]
)
def test_vectors_of_the_token_are_found_out_and_kept(
    faulty: FaultyModule, faulty_token: ModuleToken, how: str, source: IvSource, length: int
) -> None:
    faulty.behave(how)
    assert faulty_token.require().known_answers.gcm is source
    create_wrapping_key(faulty_token, ID, "us-east-1", 1)
    wrapper = TokenWrapper(faulty_token, ID, 1, entropy)
    envelopes = [wrapper.wrap(b"key material", b"binding") for _ in range(20)]
    assert {envelope[5] for envelope in envelopes} == {length}
    assert len({envelope[6 : 6 + length] for envelope in envelopes}) == 20
    for envelope in envelopes:
        assert wrapper.unwrap(envelope, b"binding") == b"key material"
        with pytest.raises(UnsealError):
            wrapper.unwrap(envelope, b"another")
    # What was wrapped before a token drew its vectors opens still, and the other way round.
    faulty.behave("")
    assert wrapper.unwrap(envelopes[0], b"binding") == b"key material"


def test_vectors_of_zeros_are_refused(faulty: FaultyModule, faulty_token: ModuleToken) -> None:
    faulty.behave("zero-iv")
    assert faulty_token.require().known_answers.gcm is None
    create_wrapping_key(faulty_token, ID, "us-east-1", 1)
    with pytest.raises(TokenFaultError) as caught:
        TokenWrapper(faulty_token, ID, 1, entropy).wrap(b"key material", b"binding")
    assert "MECHANISM_PARAM_INVALID" in caught.value.explanation
