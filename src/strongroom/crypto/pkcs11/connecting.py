"""Makes a connection to a token: initialize, find, log in, test."""

import time

from strongroom.crypto.pkcs11.calls import Calls
from strongroom.crypto.pkcs11.claims import claim
from strongroom.crypto.pkcs11.connection import Connection, name_of
from strongroom.crypto.pkcs11.constants import (
    CKF_LOGIN_REQUIRED,
    CKF_PROTECTED_AUTHENTICATION_PATH,
    CKF_USER_PIN_FINAL_TRY,
    CKF_USER_PIN_LOCKED,
    CKR_PIN_LOCKED,
    CKR_USER_ALREADY_LOGGED_IN,
    CKR_USER_ANOTHER_ALREADY_LOGGED_IN,
    CKR_USER_PIN_NOT_INITIALIZED,
    CKU_USER,
)
from strongroom.crypto.pkcs11.cryptoki import TokenInfo
from strongroom.crypto.pkcs11.known_answers import test_known_answers
from strongroom.crypto.pkcs11.module import Module
from strongroom.crypto.pkcs11.return_codes import CryptokiError, Kind
from strongroom.crypto.pkcs11.start_lock import start_lock
from strongroom.crypto.pkcs11.token_address import TokenAddress
from strongroom.crypto.pkcs11.witnesses import witnesses_in
from strongroom.crypto.token_errors import Absence, TokenRefusedError, TokenUnavailableError

_ATTEMPTS, _PAUSE = 3, 0.1
_LOCK_PATIENCE = 10.0
_REFUSED_PINS = {CKR_PIN_LOCKED: Absence.LOCKED, CKR_USER_PIN_NOT_INITIALIZED: Absence.NO_USER}


def connect(module: Module, address: TokenAddress, owner: object, *, first: bool) -> Connection:
    """Return a connection to a token, which has passed its known-answer tests. The caller is alone in the module.

    The ``first`` one of a process has some attempts at once: processes that log in to a token outside of our lock can
    make it disappear for a moment. The token is claimed for ``owner``. Raises TokenUnavailableError, TokenRefusedError,
    WrongAnswerError, CryptokiError.
    """
    with start_lock(address.start_lock, _LOCK_PATIENCE):
        for left in reversed(range(_ATTEMPTS if first else 1)):
            try:
                return _connect(module, address, owner)
            except TokenRefusedError:
                raise
            except (CryptokiError, TokenUnavailableError):
                module.finalize()
                if not left:
                    raise
                time.sleep(_PAUSE)
    raise AssertionError  # pragma: no cover - the last attempt returns or raises


def _connect(module: Module, address: TokenAddress, owner_of_claim: object) -> Connection:
    module.initialize()
    slot, info = _found(module.tokens(), address)
    other = claim(name_of(info), owner_of_claim, address.use)
    if other is not None:
        raise TokenRefusedError(
            f"{_described(address)} is in use as {other}, so it is not used as {address.use} too",
            Absence.UNFIT,
        )
    if info.flags & CKF_LOGIN_REQUIRED:
        _require_safe_login(info, address)
    owner = Calls(module.functions, module.open_session(slot))
    try:
        if info.flags & CKF_LOGIN_REQUIRED:
            _log_in(module, owner, address)
        connection = Connection(module, slot, name_of(info), owner, address.handles)
        connection.known_answers = test_known_answers(owner, address.wrap_mechanism)
        connection.witnesses = witnesses_in(owner)
    except BaseException:
        # Nothing else would close it while another token uses the module. The last session also ends the login.
        module.close_session(owner.session)
        raise
    return connection


def _found(tokens: dict[int, TokenInfo], address: TokenAddress) -> tuple[int, TokenInfo]:
    """Return the slot of a token with what it says of itself; raises TokenUnavailableError if it is not there."""
    named = {slot: (name_of(info), info) for slot, info in tokens.items()}
    found = {slot: info for slot, (name, info) in named.items() if address.token in {name.label, name.serial}}
    if len(found) > 1:
        raise TokenRefusedError(
            f"{len(found)} tokens of `{address.module}` have the label {address.token!a}; "
            "name one by its serial number",
            Absence.UNFIT,
        )
    for slot, info in found.items():
        return slot, info
    there = ", ".join(sorted(ascii(name.label) for name, _ in named.values() if name.label)) or "none"
    raise TokenUnavailableError(f"`{address.module}` has no token {address.token!a} (it has: {there})", Absence.MISSING)


def _require_safe_login(info: TokenInfo, address: TokenAddress) -> None:
    """Refuse a token that a wrong PIN could lock, or that would count no PIN as a wrong one: TokenRefusedError."""
    described = _described(address)
    if info.flags & CKF_USER_PIN_LOCKED:
        raise TokenRefusedError(
            f"{described} is locked: its PIN was wrong too often; unlock it with its own tools", Absence.LOCKED
        )
    if info.flags & CKF_USER_PIN_FINAL_TRY:
        raise TokenRefusedError(
            f"{described} allows one more wrong PIN before it locks itself; log in once with its own tools",
            Absence.LOCKED,
        )
    if not address.pin and not info.flags & CKF_PROTECTED_AUTHENTICATION_PATH:
        # An empty one would be a wrong one, and tokens count these.
        raise TokenRefusedError(f"{described} needs a PIN; name a file with it in `pkcs11-pin-file`", Absence.WRONG_PIN)


def _log_in(module: Module, owner: Calls, address: TokenAddress) -> None:
    """Log in; raises TokenRefusedError if the PIN is wrong, or another user is logged in."""
    described, pin = _described(address), address.pin.encode()
    try:
        # NULL has the token ask for the PIN at a keypad of its own (section 5.6).
        module.functions.call("Login", owner.session, CKU_USER, pin or None, len(pin))
    except CryptokiError as error:
        if error.code == CKR_USER_ALREADY_LOGGED_IN and not address.exclusive:
            return
        if error.code in {CKR_USER_ALREADY_LOGGED_IN, CKR_USER_ANOTHER_ALREADY_LOGGED_IN}:
            raise TokenRefusedError(f"{described}: {error}", Absence.OTHER_USER) from None
        if error.kind is Kind.STOP:
            raise TokenRefusedError(
                f"{described} refuses the PIN ({error}), and it is not tried again; correct {address.pin_from}",
                _REFUSED_PINS.get(error.code, Absence.WRONG_PIN),
            ) from None
        raise


def _described(address: TokenAddress) -> str:
    return f"the token {address.token!a} of `{address.module}`"
