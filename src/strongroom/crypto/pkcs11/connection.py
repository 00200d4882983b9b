"""A connection to a token: its sessions and handles, all of one generation of the module."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress

import msgspec

from strongroom.bounded_cache import put
from strongroom.crypto.pkcs11.calls import Calls
from strongroom.crypto.pkcs11.cryptoki import Attributes, TokenInfo
from strongroom.crypto.pkcs11.known_answers import KnownAnswers
from strongroom.crypto.pkcs11.module import Module, text_of
from strongroom.crypto.pkcs11.return_codes import CryptokiError

_MOST_FOUND = 4096
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


class Connection:
    """The owner session, which has logged in and is never closed, and what was made with it.

    An object that is no token object ends with the session that made it, so the owner makes all that are kept.
    """

    def __init__(self, module: Module, slot: int, name: TokenName, owner: Calls, handles: int) -> None:
        """Keep at most ``handles`` session objects."""
        self.generation = module.generation
        self.slot = slot
        self.name = name
        self.known_answers = KnownAnswers()
        self._module = module
        self._owner = owner
        self._most = handles
        self._handles: OrderedDict[bytes, int] = OrderedDict()
        self._found: dict[bytes, int] = {}
        self._lock = threading.Lock()
        self._sessions = _OfThread()

    def session(self) -> "TokenSession":
        """Return the session of this thread, opened now if it has none; raises CryptokiError."""
        calls = self._sessions.calls
        if calls is None:
            calls = self._sessions.calls = Calls(self._module.functions, self._module.open_session(self.slot))
        return TokenSession(self, calls)

    def drop_session(self) -> None:
        """Close the session of this thread: an operation may still be open in it."""
        calls = self._sessions.calls
        if calls is not None:
            self._sessions.calls = None
            self._module.close_session(calls.session)

    def handle(self, name: bytes, get: Callable[[Calls], int]) -> int:
        """Return the handle of a session object, made with ``get`` if it is not there; raises CryptokiError."""
        with self._lock:
            handle = self._handles.get(name)
            if handle is not None:
                self._handles.move_to_end(name)
                return handle
            if len(self._handles) >= self._most:
                self._destroy(1)
            handle = self._handles[name] = get(self._owner)
            return handle

    def forget(self, name: bytes) -> None:
        """Destroy a session object, if it is there."""
        with self._lock:
            handle = self._handles.pop(name, None)
            if handle is not None:
                with suppress(CryptokiError):
                    self._owner.destroy_object(handle)

    def find(self, name: bytes, attributes: Attributes) -> int:
        """Return the handle of a token object; raises CryptokiError with OBJECT_HANDLE_INVALID if there is none."""
        handle = self._found.get(name)
        if handle is None:
            with self._lock:
                found = self._owner.find_objects(attributes)
            if not found:
                raise CryptokiError("C_FindObjects", _CKR_OBJECT_HANDLE_INVALID)
            handle = put(self._found, name, found[0], _MOST_FOUND)
        return handle

    def make_room(self) -> None:
        """Destroy half of the session objects, those that were used least recently."""
        with self._lock:
            self._destroy(len(self._handles) // 2)

    def drop_handles(self, names: Iterable[bytes]) -> None:
        """Forget handles of which one was not valid: another thread may have destroyed an object to make room."""
        for name in names:
            self._found.pop(name, None)
            self.forget(name)

    def _destroy(self, number: int) -> None:
        for _ in range(number):
            _, handle = self._handles.popitem(last=False)
            with suppress(CryptokiError):
                self._owner.destroy_object(handle)

    @property
    def handles(self) -> int:
        """How many session objects are kept."""
        return len(self._handles)


class TokenSession:
    """What work is given: calls in a session of this thread, and the handles of the connection."""

    def __init__(self, connection: Connection, calls: Calls) -> None:
        self.calls = calls
        self.generation = connection.generation
        self.known_answers = connection.known_answers
        self.used: list[bytes] = []
        """The names of the handles that the work has used."""
        self._connection = connection

    def handle(self, name: bytes, get: Callable[[Calls], int]) -> int:
        """Return the handle of a session object, made with ``get`` if it is not there; raises CryptokiError."""
        self.used.append(name)
        return self._connection.handle(name, get)

    def find(self, name: bytes, attributes: Attributes) -> int:
        """Return the handle of a token object; raises CryptokiError with OBJECT_HANDLE_INVALID if there is none."""
        self.used.append(name)
        return self._connection.find(name, attributes)

    def forget(self, name: bytes) -> None:
        """Destroy a session object, if it is there."""
        self._connection.forget(name)
