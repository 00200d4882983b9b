"""What the known-answer tests find out about two tokens that differ."""

import msgspec
import pytest

from strongroom.crypto.pkcs11 import constants as c
from strongroom.crypto.pkcs11.calls import IvSource
from strongroom.crypto.pkcs11.known_answers import KnownAnswers
from strongroom.crypto.pkcs11.token import ModuleToken
from strongroom.crypto.pkcs11.token_address import TokenAddress


@pytest.mark.parametrize(
    ("fixture", "wrap"), [("address", c.CKM_AES_KEY_WRAP_PAD), ("nss_address", c.CKM_AES_KEY_WRAP_KWP)]
)
def test_the_mechanism_of_rfc_5649_is_found_by_its_answer(
    request: pytest.FixtureRequest, fixture: str, wrap: int
) -> None:
    address: TokenAddress = request.getfixturevalue(fixture)
    token = ModuleToken(address, lambda: 0.0)
    assert token.require().known_answers == KnownAnswers(gcm=IvSource.OURS, mac=True, wrap=wrap)
    token.close()


@pytest.mark.parametrize(
    ("number", "found"),
    [
        (c.CKM_AES_KEY_WRAP_PAD, c.CKM_AES_KEY_WRAP_PAD),
        (c.CKM_AES_KEY_WRAP_KWP, None),
        (c.CKM_AES_KEY_WRAP, None),
        (0x8000_216F, None),
    ],
)
def test_a_number_that_is_named_is_the_only_one_that_is_tried(
    address: TokenAddress, number: int, found: int | None
) -> None:
    token = ModuleToken(msgspec.structs.replace(address, wrap_mechanism=number), lambda: 0.0)
    assert token.require().known_answers.wrap == found
    token.close()
