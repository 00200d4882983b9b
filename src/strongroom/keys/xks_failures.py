"""How calls of an external key store proxy fail, and what KMS answers to its own callers then.

Source: KMS Developer Guide, "Troubleshooting external key stores", the table of proxy errors: which exception each
operation raises, and the words. Callers never see what a proxy wrote.
"""

from enum import StrEnum

import msgspec

from strongroom.errors import CustomKeyStoreInvalidStateException, KmsError, KMSInvalidStateException
from strongroom.keys.custom_key_stores import ConnectionErrorCode
from strongroom.keys.xks_errors import (
    XksKeyInvalidConfigurationException,
    XksKeyInvalidResponseException,
    XksKeyNotFoundException,
    XksProxyIncorrectAuthenticationCredentialException,
    XksProxyInvalidConfigurationException,
    XksProxyInvalidResponseException,
    XksProxyUriUnreachableException,
)


class XksFailure(StrEnum):
    """Why a call of a proxy failed. The first ones are error names that a proxy answers with (specification 1.0.3)."""

    VALIDATION = "ValidationException"
    INVALID_STATE = "InvalidStateException"
    INVALID_CIPHERTEXT = "InvalidCiphertextException"
    INVALID_KEY_USAGE = "InvalidKeyUsageException"
    AUTHENTICATION_FAILED = "AuthenticationFailedException"
    ACCESS_DENIED = "AccessDeniedException"
    KEY_NOT_FOUND = "KeyNotFoundException"
    INVALID_URI_PATH = "InvalidUriPathException"
    UNSUPPORTED_OPERATION = "UnsupportedOperationException"
    DEPENDENCY_TIMEOUT = "DependencyTimeoutException"
    THROTTLING = "ThrottlingException"
    INTERNAL = "InternalException"
    UNREACHABLE = "Unreachable"
    """No TCP connection, or it ended before an answer began; or the operator has not allowed the host."""
    TLS_FAILED = "TlsFailed"
    TIMED_OUT = "TimedOut"
    MALFORMED = "MalformedResponse"
    MANAGERS_UNAVAILABLE = "KeyManagersUnavailable"
    """The proxy is healthy, and says that all external key managers behind it are unavailable."""
    WRONG_KEY_SPEC = "WrongKeySpec"
    """The external key is no AES-256 key."""
    WRONG_PLAINTEXT = "WrongPlaintext"
    """What the proxy has decrypted is not what was encrypted."""


ERROR_NAMES = frozenset(XksFailure) - {
    *(XksFailure.UNREACHABLE, XksFailure.TLS_FAILED, XksFailure.TIMED_OUT, XksFailure.MALFORMED),
    *(XksFailure.MANAGERS_UNAVAILABLE, XksFailure.WRONG_KEY_SPEC, XksFailure.WRONG_PLAINTEXT),
}
"""The names that a proxy can answer with."""

SILENT = frozenset({XksFailure.UNREACHABLE, XksFailure.TLS_FAILED, XksFailure.TIMED_OUT})
"""The failures in which a proxy has not answered."""


class XksError(Exception):
    """A call of a proxy failed; ``reason`` is for the operator."""

    def __init__(self, failure: XksFailure, reason: str = "") -> None:
        super().__init__(f"{failure}: {reason}" if reason else failure)
        self.failure = failure
        self.reason = reason


class _Row(msgspec.Struct, frozen=True):
    """A row of the table: KMS's words; the exceptions of Create- and UpdateCustomKeyStore and of CreateKey.

    None is for an answer that such a call cannot have: it cannot be interpreted. ``connection`` is what
    DescribeCustomKeyStores shows after ConnectCustomKeyStore.
    """

    message: str
    store: type[KmsError] | None
    key: type[KmsError] | None
    connection: ConnectionErrorCode = ConnectionErrorCode.XKS_PROXY_INVALID_RESPONSE


_UNINTERPRETED = (
    "AWS KMS cannot interpret the response from the external key store proxy. "
    "If you see this error repeatedly, report it to your external key store proxy administrator."
)
_NO_MANAGER = (
    "The external key store proxy rejected the request because it cannot communicate with the external key manager. "
    "Verify that the external key store proxy configuration is correct and that the external key manager is available."
)
_MALFORMED = _Row(_UNINTERPRETED, XksProxyInvalidResponseException, CustomKeyStoreInvalidStateException)

_ROWS = {
    XksFailure.VALIDATION: _MALFORMED,
    XksFailure.INVALID_STATE: _Row(
        "The external key associated with this KMS key in an external key store is not enabled in the external key "
        "manager. Enable the external key in the external key manager and retry the request.",
        None,
        XksKeyInvalidConfigurationException,
    ),
    XksFailure.INVALID_CIPHERTEXT: _Row(
        "The external key store proxy rejected the request because the specified ciphertext or encryption context is "
        "corrupted, missing, or otherwise invalid.",
        None,
        None,
    ),
    XksFailure.WRONG_KEY_SPEC: _Row(
        "The external key specified by the XksKeyId parameter did not meet the configuration requirements for an "
        "external key store. The external key must be an AES-256 symmetric key that is enabled and performs "
        "encryption and decryption.",
        None,
        XksKeyInvalidConfigurationException,
    ),
    XksFailure.WRONG_PLAINTEXT: _Row(
        "The ciphertext that the external key store proxy submitted for decryption, or the encryption context, is "
        "corrupted, missing, or otherwise invalid.",
        None,
        None,
    ),
    XksFailure.INVALID_KEY_USAGE: _Row(
        "The external key associated with this KMS key in an external key store does not support the requested "
        "operation. Enable the operation on the key in your external key manager, and try the request again.",
        None,
        XksKeyInvalidConfigurationException,
    ),
    XksFailure.AUTHENTICATION_FAILED: _Row(
        "The external key store proxy rejected the request because it could not authenticate AWS KMS. Verify the XKS "
        "proxy authentication credentials for your external key store and update if necessary.",
        XksProxyIncorrectAuthenticationCredentialException,
        CustomKeyStoreInvalidStateException,
        ConnectionErrorCode.XKS_PROXY_ACCESS_DENIED,
    ),
    XksFailure.ACCESS_DENIED: _Row(
        "The external key store proxy denied access to the operation. Verify that the user and the external key are "
        "both authorized for this operation, and try the request again.",
        None,
        KMSInvalidStateException,
        ConnectionErrorCode.XKS_PROXY_ACCESS_DENIED,
    ),
    XksFailure.KEY_NOT_FOUND: _Row(
        "The external key associated with this KMS key in an external key store was not found in its external key "
        "manager. If the external key ID associated with this KMS key is incorrect, create a new KMS key with the "
        "correct external key ID.",
        None,
        XksKeyNotFoundException,
    ),
    XksFailure.INVALID_URI_PATH: _Row(
        "The external key store proxy rejected the request because of an invalid URI path. Verify the URI path for "
        "your external key store and update if necessary.",
        XksProxyInvalidConfigurationException,
        CustomKeyStoreInvalidStateException,
        ConnectionErrorCode.XKS_PROXY_INVALID_CONFIGURATION,
    ),
    XksFailure.UNSUPPORTED_OPERATION: _Row(
        "The external key store proxy rejected the request because it does not support the requested operation. "
        "If you see this error repeatedly, report it to your external key store proxy administrator.",
        None,
        XksKeyInvalidResponseException,
    ),
    XksFailure.DEPENDENCY_TIMEOUT: _Row(
        "The external key store proxy did not respond to the request in the time allotted. Retry the request. "
        "If you see this error repeatedly, report it to your external key store proxy administrator.",
        XksProxyUriUnreachableException,
        CustomKeyStoreInvalidStateException,
        ConnectionErrorCode.XKS_PROXY_TIMED_OUT,
    ),
    XksFailure.THROTTLING: _Row(
        "The external key store proxy rejected the request due to a very high request rate. Reduce the frequency of "
        "your calls using KMS keys in this external key store.",
        XksProxyUriUnreachableException,
        CustomKeyStoreInvalidStateException,
        ConnectionErrorCode.XKS_PROXY_NOT_REACHABLE,
    ),
    XksFailure.INTERNAL: _Row(_NO_MANAGER, XksProxyInvalidResponseException, CustomKeyStoreInvalidStateException),
    # CreateCustomKeyStore is documented to raise it also when all key managers are unavailable.
    XksFailure.MANAGERS_UNAVAILABLE: _Row(
        _NO_MANAGER,
        XksProxyUriUnreachableException,
        CustomKeyStoreInvalidStateException,
        ConnectionErrorCode.XKS_PROXY_NOT_REACHABLE,
    ),
    XksFailure.UNREACHABLE: _Row(
        "AWS KMS cannot communicate with the external key store proxy. This might be a transient network issue. If "
        "you see this error repeatedly, verify that your external key store proxy is active and is connected to the "
        "network, and that its endpoint URI is correct in your external keystore.",
        XksProxyUriUnreachableException,
        CustomKeyStoreInvalidStateException,
        ConnectionErrorCode.XKS_PROXY_NOT_REACHABLE,
    ),
    XksFailure.TLS_FAILED: _Row(
        "AWS KMS cannot establish a TLS connection to the external key store proxy. Verify the TLS configuration, "
        "including its certificate.",
        XksProxyUriUnreachableException,
        CustomKeyStoreInvalidStateException,
        ConnectionErrorCode.XKS_PROXY_INVALID_TLS_CONFIGURATION,
    ),
    XksFailure.TIMED_OUT: _Row(
        "AWS KMS rejected the request because the external key store proxy did not respond in time. Retry the "
        "request. If you see this error repeatedly, report it to your external key store proxy administrator.",
        XksProxyUriUnreachableException,
        CustomKeyStoreInvalidStateException,
        ConnectionErrorCode.XKS_PROXY_TIMED_OUT,
    ),
    XksFailure.MALFORMED: _MALFORMED,
}


def store_error(error: XksError) -> KmsError:
    """Return what CreateCustomKeyStore and UpdateCustomKeyStore raise when the proxy's health is not good."""
    row = _ROWS[error.failure]
    if row.store is None:
        return _with_details(XksProxyInvalidResponseException(_UNINTERPRETED), error)
    return _with_details(row.store(row.message), error)


def connection_error(error: XksError) -> ConnectionErrorCode:
    """Return why a store could not be connected, as DescribeCustomKeyStores shows it."""
    return _ROWS[error.failure].connection


def new_key_error(error: XksError) -> KmsError:
    """Return what CreateKey raises when an external key cannot become the material of a KMS key."""
    row = _ROWS[error.failure]
    if row.key is None:
        return _with_details(CustomKeyStoreInvalidStateException(_UNINTERPRETED), error)
    return _with_details(row.key(row.message), error)


def use_error(error: XksError, *, decrypting: bool) -> KmsError:
    """Return what a cryptographic operation raises: always KMSInvalidStateException, with words that tell the cause."""
    failure = error.failure
    if failure is XksFailure.INVALID_CIPHERTEXT and not decrypting:
        return _with_details(KMSInvalidStateException(_UNINTERPRETED), error)
    return _with_details(KMSInvalidStateException(_ROWS[failure].message), error)


def _with_details(refusal: KmsError, error: XksError) -> KmsError:
    """Have the audit record tell what happened, as the words of the answer alone do not."""
    refusal.details = {"xksProxyFailure": error.failure.value} | ({"reason": error.reason} if error.reason else {})
    return refusal
