"""A Cryptoki module in this process. It is loaded once, and all tokens in it share its state.

Only C_Finalize and C_Initialize bring back a token that was gone, and they end all sessions of the module.
So a module has *generations*: a handle or a session is valid only in the generation that it was made in. C_Finalize is
undefined while another thread is inside the module, so there is a gate: many threads are inside, or one connects.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ctypes import byref, c_ulong
from pathlib import Path

from strongroom.crypto.pkcs11.constants import (
    CKF_OS_LOCKING_OK,
    CKF_RW_SESSION,
    CKF_SERIAL_SESSION,
    CKR_CRYPTOKI_ALREADY_INITIALIZED,
)
from strongroom.crypto.pkcs11.cryptoki import FunctionList, InitializeArguments, MechanismInfo, TokenInfo
from strongroom.crypto.pkcs11.return_codes import CryptokiError

_MOST_SLOTS = 256
_CONNECTING = 1.0
"""Seconds to wait for another thread that connects."""


class ModuleBusyError(Exception):
    """The module cannot be initialized again, because threads are inside and do not come back."""


class StaleConnectionError(Exception):
    """A connection is of an earlier generation of the module."""


class Module:
    """A loaded module. Get it from ``module_of``."""

    def __init__(self, path: Path, arguments: str | None) -> None:
        """Load a module. ``arguments`` are for C_Initialize, as NSS wants them.

        Raises OSError if it cannot be loaded.
        """
        self.path = path
        self.functions = FunctionList(path)
        self.users = 0
        """How many tokens of this process use it."""
        self.arguments = arguments
        self._condition = threading.Condition()
        self._inside = 0
        self._closed = False
        self._initialized = False
        self._lost = False
        self.generation = 0

    def is_current(self, generation: int) -> bool:
        """Tell whether sessions and handles of a generation are valid still, as far as it is known."""
        return generation == self.generation and not self._lost

    def lose(self, generation: int) -> None:
        """Note that a generation has lost its token; the next connection initializes the module again."""
        with self._condition:
            if generation == self.generation:
                self._lost = True

    @contextmanager
    def entered(self, generation: int) -> Iterator[None]:
        """Be inside the module; raises StaleConnectionError if the generation is not the present one."""
        with self._condition:
            # Another token of the module may be connecting.
            self._condition.wait_for(lambda: not self._closed, _CONNECTING)
            if self._closed or not self.is_current(generation):
                raise StaleConnectionError
            self._inside += 1
        try:
            yield
        finally:
            with self._condition:
                self._inside -= 1
                self._condition.notify_all()

    @contextmanager
    def alone(self, patience: float) -> Iterator[None]:
        """Be the only thread inside; raises ModuleBusyError if others do not leave within ``patience`` seconds."""
        with self._condition:
            if not self._condition.wait_for(lambda: not self._closed, patience):
                raise ModuleBusyError
            self._closed = True
            if not self._condition.wait_for(lambda: self._inside == 0, patience):
                self._closed = False
                self._condition.notify_all()
                raise ModuleBusyError
        try:
            yield
        finally:
            with self._condition:
                self._closed = False
                self._condition.notify_all()

    # --- only while alone

    def initialize(self) -> None:
        """Initialize the module, again if it has lost its token; raises CryptokiError."""
        if self._initialized and self._lost:
            self.finalize()
        if self._initialized:
            return
        arguments = InitializeArguments(
            flags=CKF_OS_LOCKING_OK, reserved=None if self.arguments is None else self.arguments.encode()
        )
        try:
            self.functions.call("Initialize", byref(arguments))
        except CryptokiError as error:
            if error.code != CKR_CRYPTOKI_ALREADY_INITIALIZED:
                raise
        self._initialized, self._lost = True, False
        self.generation += 1

    def finalize(self) -> None:
        """End all sessions of the module."""
        if self._initialized:
            with suppress(CryptokiError):
                self.functions.call("Finalize", None)
        self._initialized = False
        self._lost = True

    def tokens(self) -> dict[int, TokenInfo]:
        """Return the tokens by their slots; raises CryptokiError. One that does not answer is left out."""
        slots, number = (c_ulong * _MOST_SLOTS)(), c_ulong(_MOST_SLOTS)
        self.functions.call("GetSlotList", 1, slots, byref(number))
        found: dict[int, TokenInfo] = {}
        for slot in slots[: number.value]:
            info = TokenInfo()
            with suppress(CryptokiError):
                self.functions.call("GetTokenInfo", slot, byref(info))
                found[slot] = info
        return found

    def open_session(self, slot: int) -> int:
        """Open a session that may write; return its handle. Raises CryptokiError."""
        handle = c_ulong()
        self.functions.call("OpenSession", slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, None, None, byref(handle))
        return handle.value

    def close_session(self, session: int) -> None:
        """Close a session; what is wrong with it does not matter any more."""
        with suppress(CryptokiError):
            self.functions.call("CloseSession", session)

    def close_sessions(self, slot: int) -> None:
        """Close all sessions of this process with a token; what is wrong with them does not matter any more."""
        with suppress(CryptokiError):
            self.functions.call("CloseAllSessions", slot)

    def key_sizes(self, slot: int, mechanism: int) -> range:
        """Return the sizes of keys that a mechanism has, in the unit that it has; raises CryptokiError."""
        info = MechanismInfo()
        self.functions.call("GetMechanismInfo", slot, mechanism, byref(info))
        return range(info.min_key_size, info.max_key_size + 1)


_modules: dict[Path, Module] = {}
_lock = threading.Lock()


def module_of(path: Path, arguments: str | None) -> Module:
    """Return the module of a file, loaded once in a process; raises OSError."""
    with _lock:
        path = path.resolve()
        if path not in _modules:
            _modules[path] = Module(path, arguments)
        module = _modules[path]
        if not module.users:
            module.arguments = arguments
        elif module.arguments != arguments:
            raise OSError(f"`{path}` is in use with other arguments of initialization")
        module.users += 1
        return module


def leave_module(module: Module, patience: float) -> None:
    """Finalize a module that no token of this process uses any more, unless a call inside it hangs."""
    with _lock:
        module.users -= 1
        if module.users:
            return
        with suppress(ModuleBusyError), module.alone(patience):
            module.finalize()


def text_of(field: bytes) -> str:
    """Return a text of a Cryptoki structure, which is padded with blanks."""
    return field.decode(errors="replace").rstrip("\0 ")
