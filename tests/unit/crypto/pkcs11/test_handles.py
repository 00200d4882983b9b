"""Session objects of a connection: a bounded number, made once, destroyed to make room, and made again when lost."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

import pytest
from msgspec.structs import replace

from softhsm import FaultyModule
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


def test_an_object_in_use_is_destroyed_when_its_use_ends(small: ModuleToken) -> None:
    """A token may give the handle of a destroyed object to the next one, which would be used in its place."""
    objects = Objects()

    def work(session: TokenSession) -> tuple[bytes, bytes]:
        handle = session.handle(b"1", objects.maker(1))
        before = session.calls.mac(handle, b"message")
        small.run(lambda other: other.forget(b"1"))
        for number in range(2, 2 + 2 * _MOST):
            objects.mac(small, number)
        return before, session.calls.mac(handle, b"message")

    before, after = small.run(work)
    assert before == after
    assert there(small) == _MOST
    assert objects.mac(small, 1) == before


def test_a_handle_that_is_there_does_not_wait_for_one_that_is_made(small: ModuleToken) -> None:
    objects, begun, end = Objects(), threading.Event(), threading.Event()
    mac = objects.mac(small, 1)

    def slow(calls: Calls) -> int:
        begun.set()
        assert end.wait(60)
        return objects.maker(2)(calls)

    made: list[int] = []
    thread = threading.Thread(target=lambda: made.append(small.run(lambda session: session.handle(b"2", slow))))
    thread.start()
    assert begun.wait(60)
    assert objects.mac(small, 1) == mac
    assert not made
    end.set()
    thread.join()
    assert made


def test_threads_that_need_one_object_make_it_once(small: ModuleToken) -> None:
    objects = Objects()
    with ThreadPoolExecutor(8) as threads:
        macs = [*threads.map(lambda number: objects.mac(small, number % 4), range(64))]
    assert objects.made == there(small) == 4
    assert len(set(macs)) == 4


def test_what_is_discarded_is_destroyed_by_the_next_calls(small: ModuleToken) -> None:
    objects = Objects()
    for number in range(8):
        objects.mac(small, number)
    for number in range(6):
        small.discard(b"%d" % number)
    # Nothing is called for it alone, and a call destroys only a few.
    assert small.require().handles == 4
    small.check()
    assert there(small) == 2


def test_a_burst_of_discarded_objects_does_not_keep_a_check_from_its_answer(
    faulty: FaultyModule, faulty_token: ModuleToken
) -> None:
    """A change of many keys discards all their objects, and a token may take milliseconds for each."""
    objects = Objects()
    for number in range(len(_VALUES)):
        objects.mac(faulty_token, number)
    for number in range(len(_VALUES)):
        faulty_token.discard(b"%d" % number)
    faulty.behave("slow 60")
    faulty_token.check()
    assert faulty_token.discarded > 0
    faulty.behave("")
    rounds = 0
    while faulty_token.discarded:
        faulty_token.check()
        rounds += 1
    assert there(faulty_token) == 0
    assert rounds < len(_VALUES)


def test_room_is_made_in_the_time_of_a_call(address: TokenAddress) -> None:
    objects = Objects()
    with closing(ModuleToken(replace(address, handles=1000), time.monotonic)) as token:
        for number in range(200):
            token.run(partial(TokenSession.handle, name=b"%d" % number, get=objects.maker(1)))
        token.require().make_room()
        assert token.require().handles == 200 - 64


def test_a_forgotten_object_is_destroyed(small: ModuleToken) -> None:
    objects = Objects()
    objects.mac(small, 1)
    small.run(lambda session: session.forget(b"1"))
    assert there(small) == 0
