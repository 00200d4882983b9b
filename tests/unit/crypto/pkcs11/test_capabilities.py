"""What two tokens can do, as it is found out: they differ in how well they keep keys."""

import time
from contextlib import closing

import pytest

from strongroom.crypto.pkcs11.capabilities import capabilities_of
from strongroom.crypto.pkcs11.token import ModuleToken
from strongroom.crypto.pkcs11.token_address import TokenAddress


@pytest.mark.parametrize(("fixture", "keeps"), [("address", True), ("nss_address", False)])
def test_how_well_a_token_keeps_keys_is_found_out(request: pytest.FixtureRequest, fixture: str, *, keeps: bool) -> None:
    address: TokenAddress = request.getfixturevalue(fixture)
    with closing(ModuleToken(address, time.monotonic)) as token:
        found = capabilities_of(token, str(address.module))
        assert (found.keeps_keys, found.unwraps_sensitive) == (keeps, keeps)
        assert token.run(lambda session: session.calls.find_objects({})) == []
