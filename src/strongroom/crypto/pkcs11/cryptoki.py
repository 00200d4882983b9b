"""The C interface of a Cryptoki module, by ctypes: its structures, its list of functions, and what a call returns.

A call releases the interpreter while the module works. See ADR 24 for why this is no library's binding.
"""

import ctypes
import sys
from collections.abc import Mapping
from ctypes import POINTER, Structure, c_char, c_char_p, c_ubyte, c_ulong, c_void_p, cast
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

from strongroom.crypto.pkcs11.constants import CKR_OK, FALSE, TRUE
from strongroom.crypto.pkcs11.return_codes import CryptokiError

Attributes: TypeAlias = Mapping[int, "bytes | int | bool | Attributes"]
"""A template: attribute types and their values. A number is a CK_ULONG, and a template an array of attributes."""

_ULONG = ctypes.sizeof(c_ulong)

# Section 3.6: the functions in the order of CK_FUNCTION_LIST.
_FUNCTIONS = (
    "Initialize", "Finalize", "GetInfo", "GetFunctionList", "GetSlotList", "GetSlotInfo", "GetTokenInfo",
    "GetMechanismList", "GetMechanismInfo", "InitToken", "InitPIN", "SetPIN", "OpenSession", "CloseSession",
    "CloseAllSessions", "GetSessionInfo", "GetOperationState", "SetOperationState", "Login", "Logout",
    "CreateObject", "CopyObject", "DestroyObject", "GetObjectSize", "GetAttributeValue", "SetAttributeValue",
    "FindObjectsInit", "FindObjects", "FindObjectsFinal", "EncryptInit", "Encrypt", "EncryptUpdate", "EncryptFinal",
    "DecryptInit", "Decrypt", "DecryptUpdate", "DecryptFinal", "DigestInit", "Digest", "DigestUpdate", "DigestKey",
    "DigestFinal", "SignInit", "Sign", "SignUpdate", "SignFinal", "SignRecoverInit", "SignRecover", "VerifyInit",
    "Verify", "VerifyUpdate", "VerifyFinal", "VerifyRecoverInit", "VerifyRecover", "DigestEncryptUpdate",
    "DecryptDigestUpdate", "SignEncryptUpdate", "DecryptVerifyUpdate", "GenerateKey", "GenerateKeyPair", "WrapKey",
    "UnwrapKey", "DeriveKey", "SeedRandom", "GenerateRandom", "GetFunctionStatus", "CancelFunction",
    "WaitForSlotEvent",
)  # fmt: skip


class Version(Structure):
    """CK_VERSION."""

    _fields_: ClassVar = [("major", c_ubyte), ("minor", c_ubyte)]


class TokenInfo(Structure):
    """CK_TOKEN_INFO."""

    _fields_: ClassVar = [
        ("label", c_char * 32),
        ("manufacturer_id", c_char * 32),
        ("model", c_char * 16),
        ("serial_number", c_char * 16),
        ("flags", c_ulong),
        *((name, c_ulong) for name in ("max_sessions", "sessions", "max_rw_sessions", "rw_sessions")),
        *((name, c_ulong) for name in ("max_pin", "min_pin", "public", "free_public", "private", "free_private")),
        ("hardware_version", Version),
        ("firmware_version", Version),
        ("utc_time", c_char * 16),
    ]


class InitializeArguments(Structure):
    """CK_C_INITIALIZE_ARGS."""

    _fields_: ClassVar = [
        *((name, c_void_p) for name in ("create_mutex", "destroy_mutex", "lock_mutex", "unlock_mutex")),
        ("flags", c_ulong),
        ("reserved", c_char_p),
    ]


class Attribute(Structure):
    """CK_ATTRIBUTE."""

    _fields_: ClassVar = [("type", c_ulong), ("value", c_void_p), ("length", c_ulong)]


class Mechanism(Structure):
    """CK_MECHANISM."""

    _fields_: ClassVar = [("type", c_ulong), ("parameter", c_void_p), ("length", c_ulong)]


class MechanismInfo(Structure):
    """CK_MECHANISM_INFO."""

    _fields_: ClassVar = [("min_key_size", c_ulong), ("max_key_size", c_ulong), ("flags", c_ulong)]


class GcmParameters(Structure):
    """CK_GCM_PARAMS (Current Mechanisms 3.1, section 6.13.3)."""

    _fields_: ClassVar = [
        ("iv", c_void_p),
        ("iv_length", c_ulong),
        ("iv_bits", c_ulong),
        ("aad", c_void_p),
        ("aad_length", c_ulong),
        ("tag_bits", c_ulong),
    ]


class PssParameters(Structure):
    """CK_RSA_PKCS_PSS_PARAMS (Current Mechanisms 3.1, section 6.1.10)."""

    _fields_: ClassVar = [("hash", c_ulong), ("mgf", c_ulong), ("salt_length", c_ulong)]


class OaepParameters(Structure):
    """CK_RSA_PKCS_OAEP_PARAMS (Current Mechanisms 3.1, section 6.1.8)."""

    _fields_: ClassVar = [
        ("hash", c_ulong),
        ("mgf", c_ulong),
        ("source", c_ulong),
        ("label", c_void_p),
        ("label_length", c_ulong),
    ]


class EcdhParameters(Structure):
    """CK_ECDH1_DERIVE_PARAMS (Current Mechanisms 3.1, section 6.3.14)."""

    _fields_: ClassVar = [
        ("kdf", c_ulong),
        ("shared_data_length", c_ulong),
        ("shared_data", c_void_p),
        ("point_length", c_ulong),
        ("point", c_void_p),
    ]


class Template:
    """A template as C takes it. It keeps what it points to."""

    def __init__(self, attributes: Attributes) -> None:
        self._values = [_encoded(value) for value in attributes.values()]
        self.array = (Attribute * len(self._values))()
        for place, kind, value in zip(self.array, attributes, self._values, strict=True):
            target = value.array if isinstance(value, Template) else value
            place.type, place.value, place.length = kind, cast(target, c_void_p).value, ctypes.sizeof(target)
        self.length = len(self._values)


def _encoded(value: bytes | int | bool | Attributes) -> "ctypes.Array[c_char] | Template":  # noqa: FBT001 - a value
    if isinstance(value, Mapping):
        return Template(value)
    if isinstance(value, bool):
        value = TRUE if value else FALSE
    elif isinstance(value, int):
        value = value.to_bytes(_ULONG, sys.byteorder)
    return ctypes.create_string_buffer(value, len(value))


class FunctionList:
    """The functions of a module, by their names without ``C_``. Calls raise CryptokiError unless they return OK."""

    def __init__(self, path: Path) -> None:
        """Load a module; raises OSError if it is no shared library, or no Cryptoki module."""
        library = ctypes.CDLL(str(path))
        try:
            get_list = library.C_GetFunctionList
        except AttributeError:
            raise OSError(f"`{path}` is no PKCS #11 module: it has no C_GetFunctionList") from None
        get_list.argtypes, get_list.restype = [POINTER(c_void_p)], c_ulong
        found = c_void_p()
        code = get_list(ctypes.byref(found))
        if code != CKR_OK or not found.value:
            raise OSError(f"`{path}` gives no list of functions ({CryptokiError('C_GetFunctionList', code)})")
        # The version is two bytes; the pointers behind it are aligned.
        addresses = (c_void_p * len(_FUNCTIONS)).from_address(found.value + ctypes.sizeof(c_void_p))
        self._library = library
        self._addresses = dict(zip(_FUNCTIONS, addresses, strict=True))
        self._functions: dict[str, Any] = {}

    def call(self, name: str, *arguments: Any) -> None:  # noqa: ANN401 - arguments of a C function
        """Call a function: a whole number is a CK_ULONG, all else is what a pointer can be made of."""
        function = self._functions.get(name) or self._bound(name, arguments)
        code = function(*arguments)
        if code != CKR_OK:
            raise CryptokiError(f"C_{name}", code)

    def _bound(self, name: str, arguments: tuple[Any, ...]) -> Any:  # noqa: ANN401 - a function of C
        """Bind a function at its first call: what is a number then is a CK_ULONG, and all else a pointer."""
        address = self._addresses[name]
        if not address:
            raise CryptokiError(f"C_{name}", 0x54)
        types = [c_ulong if isinstance(each, int) else c_void_p for each in arguments]
        if name == "OpenSession":
            # A callback, NULL here, is a pointer too.
            types = [c_ulong, c_ulong, c_void_p, c_void_p, c_void_p]
        function = self._functions[name] = ctypes.CFUNCTYPE(c_ulong, *types)(address)
        return function
