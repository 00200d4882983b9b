"""Session objects of a connection: a bounded number, made once, destroyed to make room, and made again when lost."""

import time
from collections.abc import Callable, Iterator

import pytest
from msgspec.structs import replace

from strongroom.crypto.pkcs11 import constants as c
from strongroom.crypto.pkcs11.calls import Calls
from strongroom.crypto.pkcs11.connection import TokenSession
from strongroom.crypto.pkcs11.token import ModuleToken
from strongroom.crypto.pkcs11.token_address import TokenAddress

_MOST = 16
_VALUES = {number: bytes((number,)) * 32 for number in range(64)}


@pytest.fixture
def small(address: TokenAddress) -> Iterator[ModuleToken]:
    token = ModuleToken(replace(address, handles=_MOST), time.monotonic)
    yield token
    token.close()


class Objects:
    """Makes secret keys of known values, and counts how often."""

    def __init__(self) -> None:
        self.made = 0

    def maker(self, number: int) -> Callable[[Calls], int]:
        def make(calls: Calls) -> int:
            self.made += 1
            return calls.create_object(
                {
                    c.CKA_CLASS: c.CKO_SECRET_KEY,
                    c.CKA_KEY_TYPE: c.CKK_GENERIC_SECRET,
                    c.CKA_TOKEN: False,
                    c.CKA_LABEL: b"handle",
                    c.CKA_SIGN: True,
                    c.CKA_VALUE: _VALUES[number],
                }
            )

        return make

    def mac(self, token: ModuleToken, number: int) -> bytes:
        name = b"%d" % number
        return token.run(
            lambda session: session.calls.mac(session.handle(name, self.maker(number)), b"message"),
        )


def there(token: ModuleToken) -> int:
    return len(token.run(lambda session: session.calls.find_objects({c.CKA_LABEL: b"handle"})))


def test_an_object_is_made_once_and_the_oldest_makes_room(small: ModuleToken) -> None:
    objects = Objects()
    macs = [objects.mac(small, number) for number in range(_MOST)]
    assert [objects.mac(small, number) for number in range(_MOST)] == macs
    assert objects.made == there(small) == _MOST
    objects.mac(small, 0)
    objects.mac(small, 40)
    assert there(small) == _MOST
    objects.mac(small, 0)
    assert objects.made == _MOST + 1
    # The one that was not used for the longest time had to go.
    assert objects.mac(small, 1) == macs[1]
    assert objects.made == _MOST + 2


def test_an_object_that_another_has_destroyed_is_made_again(small: ModuleToken) -> None:
    objects = Objects()
    mac = objects.mac(small, 1)
    generation = small.generation

    def destroy(session: TokenSession) -> None:
        for handle in session.calls.find_objects({c.CKA_LABEL: b"handle"}):
            session.calls.destroy_object(handle)

    small.run(destroy)
    assert objects.mac(small, 1) == mac
    assert objects.made == 2
    assert small.generation == generation


def test_a_handle_is_made_anew_in_a_new_connection(small: ModuleToken) -> None:
    objects = Objects()
    mac = objects.mac(small, 1)
    # One failure is enough for a new connection; the call itself succeeds in it.
    connection = small.require()
    small._module.lose(connection.generation)
    assert objects.mac(small, 1) == mac
    assert objects.made == 2
    assert small.generation == connection.generation + 1


def test_a_forgotten_object_is_destroyed(small: ModuleToken) -> None:
    objects = Objects()
    objects.mac(small, 1)
    small.run(lambda session: session.forget(b"1"))
    assert there(small) == 0
