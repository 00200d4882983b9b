"""The errors that a proxy answers with: a status, a name, and a message of printable ASCII below 512 characters.

Source: External Key Store Proxy API Specification 1.0.3, "Error codes".
"""

import re
from enum import StrEnum

_MOST_MESSAGE = 511
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")


class ErrorName(StrEnum):
    """The names of errors, as the protocol has them."""

    VALIDATION = "ValidationException"
    INVALID_STATE = "InvalidStateException"
    INVALID_CIPHERTEXT = "InvalidCiphertextException"
    INVALID_KEY_USAGE = "InvalidKeyUsageException"
    AUTHENTICATION_FAILED = "AuthenticationFailedException"
    ACCESS_DENIED = "AccessDeniedException"
    KEY_NOT_FOUND = "KeyNotFoundException"
    INVALID_URI_PATH = "InvalidUriPathException"
    THROTTLING = "ThrottlingException"
    UNSUPPORTED_OPERATION = "UnsupportedOperationException"
    DEPENDENCY_TIMEOUT = "DependencyTimeoutException"
    INTERNAL = "InternalException"


STATUS = {
    ErrorName.VALIDATION: 400,
    ErrorName.INVALID_STATE: 400,
    ErrorName.INVALID_CIPHERTEXT: 400,
    ErrorName.INVALID_KEY_USAGE: 400,
    ErrorName.AUTHENTICATION_FAILED: 401,
    ErrorName.ACCESS_DENIED: 403,
    ErrorName.KEY_NOT_FOUND: 404,
    ErrorName.INVALID_URI_PATH: 404,
    ErrorName.THROTTLING: 429,
    ErrorName.UNSUPPORTED_OPERATION: 501,
    ErrorName.DEPENDENCY_TIMEOUT: 503,
    ErrorName.INTERNAL: 500,
}
"""Error → HTTP status."""


class XksError(Exception):
    """A call is refused, or could not be done."""

    def __init__(self, name: ErrorName, message: str) -> None:
        self.name = name
        self.message = _UNPRINTABLE.sub("?", message)[:_MOST_MESSAGE]
        super().__init__(f"{name}: {self.message}")

    @property
    def status(self) -> int:
        """The HTTP status of the reply."""
        return STATUS[self.name]
