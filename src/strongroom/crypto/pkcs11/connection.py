"""A connection to a token: its sessions and handles, all of one generation of the module."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice

import msgspec

from strongroom.bounded_cache import put
from strongroom.crypto.pkcs11.calls import Calls
from strongroom.crypto.pkcs11.cryptoki import Attributes, TokenInfo
from strongroom.crypto.pkcs11.known_answers import KnownAnswers
from strongroom.crypto.pkcs11.module import Module, text_of
from strongroom.crypto.pkcs11.return_codes import CryptokiError
from strongroom.crypto.pkcs11.witnesses import sees_any

_MOST_FOUND = 4096
_MOST_EVICTED = 64
_STRIPES = 16
_MOST_MAKERS = 4
"""Some tokens have few sessions, and each thread needs one, too."""
_CKR_OBJECT_HANDLE_INVALID = 0x82


class TokenName(msgspec.Struct, frozen=True):
    """What a token says of itself."""

    label: str
    manufacturer: str
    model: str
    serial: str
    firmware: str


def name_of(info: TokenInfo) -> TokenName:
    """Return what a token says of itself."""
    return TokenName(
        label=text_of(info.label),
        manufacturer=text_of(info.manufacturer_id),
        model=text_of(info.model),
        serial=text_of(info.serial_number),
        firmware=f"{info.firmware_version.major}.{info.firmware_version.minor}",
    )


class _OfThread(threading.local):
    """The session of the present thread."""

    calls: Calls | None = None


class _Object:
    """A session object that is kept, and how many calls use it now."""

    __slots__ = ("handle", "is_dropped", "users")

    def __init__(self, handle: int) -> None:
        self.handle = handle
        self.users = 0
        self.is_dropped = False


class Connection:
    """The owner session, which has logged in and is never closed, and what was made with it.

    An object that is no token object ends with the session that made it. So those that are kept are made by the owner's
    session, and by others that are never closed when several threads make some at the same time. None is destroyed
    while a call uses it: a token may give its handle to the next object, which would be used in its place.
    """

    def __init__(self, module: Module, slot: int, name: TokenName, owner: Calls, handles: int) -> None:
        """Keep at most ``handles`` session objects."""
        self.generation = module.generation
        self.slot = slot
        self.name = name
        self.known_answers = KnownAnswers()
        self.witnesses: Sequence[bytes] = ()
        self.module = module
        self._most = handles
        self._objects: OrderedDict[bytes, _Object] = OrderedDict()
        self._found: dict[bytes, int] = {}
        self._lock = threading.Lock()
        """Held for a moment, and never while the token is called."""
        self._making = [threading.Lock() for _ in range(_STRIPES)]
        """By names: held while an object is made, so that it is made once."""
        self._makers = [owner]
        """Sessions that make objects and have nothing to do. They are never closed, because that ends the objects."""
        self._may_make = threading.BoundedSemaphore(_MOST_MAKERS)
        self._sessions = _OfThread()

    def session(self) -> "TokenSession":
        """Return the session of this thread, opened now if it has none; raises CryptokiError."""
        calls = self._sessions.calls
        if calls is None:
            calls = self._sessions.calls = Calls(self.module.functions, self.module.open_session(self.slot))
        return TokenSession(self, calls)

    def drop_session(self) -> None:
        """Close the session of this thread: an operation may still be open in it."""
        calls = self._sessions.calls
        if calls is not None:
            self._sessions.calls = None
            self.module.close_session(calls.session)

    def close(self, patience: float) -> None:
        """End all sessions of this process with the token, and so its login.

        Raises ModuleBusyError if threads inside the module do not leave it within ``patience`` seconds.
        """
        with self.module.alone(patience):
            if self.module.is_current(self.generation):
                self.module.close_sessions(self.slot)

    def use(self, name: bytes, get: Callable[[Calls], int]) -> _Object:
        """Return a session object, made with ``get`` if it is not there, and used until ``release``.

        ``get`` may not use another one. Raises CryptokiError.
        """
        found = self._use(name)
        if found is not None:
            return found
        with self._making[hash(name) % _STRIPES]:
            found = self._use(name)
            if found is not None:
                return found
            if len(self._objects) >= self._most:
                self._evict(1)
            with self._maker() as calls:
                found = _Object(get(calls))
            found.users = 1
            with self._lock:
                self._objects[name] = found
            return found

    def release(self, used: Iterable[_Object]) -> None:
        """End the use of session objects. Those that were dropped meanwhile are destroyed."""
        ended: list[_Object] = []
        with self._lock:
            for each in used:
                each.users -= 1
                if each.is_dropped and not each.users:
                    ended.append(each)
        self._destroy(ended)

    def forget(self, name: bytes) -> None:
        """Destroy a session object, if it is there."""
        with self._lock:
            ended = self._drop([name])
        self._destroy(ended)

    def find(self, calls: Calls, name: bytes, attributes: Attributes) -> int:
        """Return the handle of a token object by its id; raises CryptokiError (OBJECT_HANDLE_INVALID) without one."""
        handle = self._found.get(name)
        if handle is None:
            found = calls.find_objects(attributes)
            if not found:
                missing = f"it has no object {name.hex()} any more"
                raise CryptokiError("C_FindObjects", _CKR_OBJECT_HANDLE_INVALID, missing)
            handle = put(self._found, name, found[0], _MOST_FOUND)
        return handle

    def make_room(self) -> None:
        """Destroy half of the session objects, those that were used least recently, and no more than 64.

        The call that waits for the room has a few seconds.
        """
        self._evict(min(len(self._objects) // 2, _MOST_EVICTED))

    def drop_handles(self, names: Iterable[bytes]) -> None:
        """Forget handles of which one was not valid: the token may have lost an object."""
        for name in names:
            self._found.pop(name, None)
            self.forget(name)

    @property
    def handles(self) -> int:
        """How many session objects are kept."""
        return len(self._objects)

    def _use(self, name: bytes) -> _Object | None:
        with self._lock:
            found = self._objects.get(name)
            if found is not None:
                found.users += 1
                self._objects.move_to_end(name)
            return found

    def _evict(self, number: int) -> None:
        with self._lock:
            idle = (name for name, each in self._objects.items() if not each.users)
            ended = self._drop([*islice(idle, number)])
        self._destroy(ended)

    def _drop(self, names: Iterable[bytes]) -> list[_Object]:
        """Forget objects, and return those that are to be destroyed now. The caller has the lock."""
        ended: list[_Object] = []
        for name in names:
            found = self._objects.pop(name, None)
            if found is not None:
                found.is_dropped = True
                if not found.users:
                    ended.append(found)
        return ended

    def _destroy(self, objects: Iterable[_Object]) -> None:
        for each in objects:
            with suppress(CryptokiError), self._maker() as calls:
                calls.destroy_object(each.handle)

    @contextmanager
    def _maker(self) -> Iterator[Calls]:
        """Have a session that may make objects."""
        with self._may_make:
            with self._lock:
                calls = self._makers.pop() if self._makers else None
            if calls is None:
                calls = Calls(self.module.functions, self.module.open_session(self.slot))
            try:
                yield calls
            finally:
                with self._lock:
                    self._makers.append(calls)


class TokenSession:
    """What work is given: calls in a session of this thread, and the handles of the connection."""

    def __init__(self, connection: Connection, calls: Calls) -> None:
        self.calls = calls
        self.generation = connection.generation
        self.known_answers = connection.known_answers
        self.used: list[bytes] = []
        """The names of the handles that the work has used."""
        self._connection = connection
        self._objects: list[_Object] = []

    def handle(self, name: bytes, get: Callable[[Calls], int]) -> int:
        """Return the handle of a session object, made with ``get`` if it is not there; raises CryptokiError.

        It is valid until the work ends.
        """
        self.used.append(name)
        found = self._connection.use(name, get)
        self._objects.append(found)
        return found.handle

    def find(self, name: bytes, attributes: Attributes) -> int:
        """Return the handle of a token object by its id; raises CryptokiError (OBJECT_HANDLE_INVALID) without one."""
        self.used.append(name)
        return self._connection.find(self.calls, name, attributes)

    def sees_witness(self) -> bool:
        """Tell whether what it does not find is not there (``witnesses``); raises CryptokiError."""
        return sees_any(self.calls, self._connection.witnesses)

    def forget(self, name: bytes) -> None:
        """Destroy a session object when no call uses it any more, if it is there."""
        self._connection.forget(name)

    @property
    def make(self) -> tuple[str, ...]:
        """What the token is: its module, model, firmware and serial number. What it can do, it can do again."""
        name = self._connection.name
        return str(self._connection.module.path), name.model, name.firmware, name.serial

    def key_sizes(self, mechanism: int) -> range:
        """Return the sizes of keys that a mechanism has, in the unit that it has; raises CryptokiError."""
        return self._connection.module.key_sizes(self._connection.slot, mechanism)

    def drop(self) -> None:
        """Have later work use another session: a call in this one has failed, and may have left something open."""
        self._connection.drop_session()

    def end(self) -> None:
        """End the use of all handles."""
        self._connection.release(self._objects)
        self._objects = []
