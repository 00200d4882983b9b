"""What the return codes of Cryptoki mean for the one who called (PKCS #11 Base Specification 2.40, section 5.1)."""

from enum import Enum

_NAMES = {
    0x2: "HOST_MEMORY", 0x3: "SLOT_ID_INVALID", 0x5: "GENERAL_ERROR", 0x6: "FUNCTION_FAILED", 0x7: "ARGUMENTS_BAD",
    0xA: "CANT_LOCK", 0x10: "ATTRIBUTE_READ_ONLY", 0x11: "ATTRIBUTE_SENSITIVE", 0x12: "ATTRIBUTE_TYPE_INVALID",
    0x13: "ATTRIBUTE_VALUE_INVALID", 0x20: "DATA_INVALID", 0x21: "DATA_LEN_RANGE", 0x30: "DEVICE_ERROR",
    0x31: "DEVICE_MEMORY", 0x32: "DEVICE_REMOVED", 0x40: "ENCRYPTED_DATA_INVALID", 0x41: "ENCRYPTED_DATA_LEN_RANGE",
    0x54: "FUNCTION_NOT_SUPPORTED", 0x60: "KEY_HANDLE_INVALID", 0x62: "KEY_SIZE_RANGE", 0x63: "KEY_TYPE_INCONSISTENT",
    0x68: "KEY_FUNCTION_NOT_PERMITTED", 0x69: "KEY_NOT_WRAPPABLE", 0x6A: "KEY_UNEXTRACTABLE",
    0x70: "MECHANISM_INVALID", 0x71: "MECHANISM_PARAM_INVALID", 0x82: "OBJECT_HANDLE_INVALID",
    0x90: "OPERATION_ACTIVE", 0x91: "OPERATION_NOT_INITIALIZED", 0xA0: "PIN_INCORRECT", 0xA1: "PIN_INVALID",
    0xA2: "PIN_LEN_RANGE", 0xA3: "PIN_EXPIRED", 0xA4: "PIN_LOCKED", 0xB0: "SESSION_CLOSED", 0xB1: "SESSION_COUNT",
    0xB3: "SESSION_HANDLE_INVALID", 0xB5: "SESSION_READ_ONLY", 0xC0: "SIGNATURE_INVALID",
    0xC1: "SIGNATURE_LEN_RANGE", 0xD0: "TEMPLATE_INCOMPLETE", 0xD1: "TEMPLATE_INCONSISTENT",
    0xE0: "TOKEN_NOT_PRESENT", 0xE1: "TOKEN_NOT_RECOGNIZED", 0xE2: "TOKEN_WRITE_PROTECTED",
    0xF0: "UNWRAPPING_KEY_HANDLE_INVALID", 0x101: "USER_NOT_LOGGED_IN", 0x102: "USER_PIN_NOT_INITIALIZED",
    0x110: "WRAPPED_KEY_INVALID", 0x112: "WRAPPED_KEY_LEN_RANGE", 0x113: "WRAPPING_KEY_HANDLE_INVALID",
    0x130: "DOMAIN_PARAMS_INVALID", 0x150: "BUFFER_TOO_SMALL", 0x190: "CRYPTOKI_NOT_INITIALIZED",
}  # fmt: skip


class Kind(Enum):
    """What a failed call calls for."""

    LOST = "the connection to the token is lost: connect again, and try once more"
    HANDLE = "a handle is not valid any more: find or make the object again, and try once more"
    FULL = "the token or the module has no room: destroy objects that are not in use, and try once more"
    STOP = "the PIN is refused: do not try again, because tokens lock themselves after a few wrong ones"
    CALLER = "the data that the token was given are not valid"
    FAULT = "the token cannot do this"


REFUSALS = frozenset({Kind.FAULT, Kind.CALLER})
"""Failures that mean that a token cannot do something. All others mean that it does not answer, or is full."""
_KINDS = {
    **dict.fromkeys((0x3, 0x5, 0x30, 0x32, 0xB0, 0xB3, 0xE0, 0xE1, 0x101, 0x190), Kind.LOST),
    **dict.fromkeys((0x60, 0x82, 0xF0, 0x113), Kind.HANDLE),
    **dict.fromkeys((0x2, 0x31, 0xB1), Kind.FULL),
    **dict.fromkeys((0xA0, 0xA1, 0xA2, 0xA3, 0xA4, 0x102), Kind.STOP),
    **dict.fromkeys((0x20, 0x21, 0x40, 0x41, 0x63, 0xC0, 0xC1, 0x110, 0x112), Kind.CALLER),
}


def name_of(code: int) -> str:
    """Return the name of a return code without its prefix, or its number."""
    return _NAMES.get(code, f"0x{code:X}")


class CryptokiError(Exception):
    """A function of a module has failed. The message names it and its return code."""

    def __init__(self, function: str, code: int) -> None:
        super().__init__(f"{function} answers {name_of(code)}")
        self.function = function
        self.code = code
        self.kind = _KINDS.get(code, Kind.FAULT)
