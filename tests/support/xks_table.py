"""Failures of a proxy, and what KMS answers: KMS Developer Guide, "Troubleshooting external key stores"."""

from typing import NamedTuple


class Row(NamedTuple):
    """A failure, the words of KMS, and its exceptions; None for operations that the guide does not name."""

    failure: str
    message: str
    store: str | None = None
    key: str | None = None
    use: str | None = None
    decrypt: str | None = None


TABLE = (
    Row(
        "Proxy returns a ValidationException",
        "AWS KMS cannot interpret the response from the external key store proxy. If you see this error "
        "repeatedly, report it to your external key store proxy administrator.",
        store="XksProxyInvalidResponseException",
        key="CustomKeyStoreInvalidStateException",
        use="KMSInvalidStateException",
    ),
    Row(
        "Proxy returns an InvalidStateException",
        "The external key associated with this KMS key in an external key store is not enabled in the "
        "external key manager. Enable the external key in the external key manager and retry the "
        "request.",
        key="XksKeyInvalidConfigurationException",
        use="KMSInvalidStateException",
    ),
    Row(
        "Proxy returns an InvalidCiphertextException",
        "The external key store proxy rejected the request because the specified ciphertext or "
        "encryption context is corrupted, missing, or otherwise invalid.",
        decrypt="KMSInvalidStateException",
    ),
    Row(
        "Proxy returns an invalid ciphertext",
        "The ciphertext that the external key store proxy submitted for decryption, or the encryption "
        "context, is corrupted, missing, or otherwise invalid.",
        decrypt="KMSInvalidStateException",
    ),
    Row(
        "Proxy returns an InvalidKeyUsageException",
        "The external key associated with this KMS key in an external key store does not support the "
        "requested operation. Enable the operation on the key in your external key manager, and try the "
        "request again.",
        key="XksKeyInvalidConfigurationException",
        use="KMSInvalidStateException",
    ),
    Row(
        "Proxy returns an AuthenticationFailedException",
        "The external key store proxy rejected the request because it could not authenticate AWS KMS. "
        "Verify the XKS proxy authentication credentials for your external key store and update if "
        "necessary.",
        store="XksProxyIncorrectAuthenticationCredentialException",
        key="CustomKeyStoreInvalidStateException",
        use="KMSInvalidStateException",
    ),
    Row(
        "Proxy returns an AccessDeniedException",
        "The external key store proxy denied access to the operation. Verify that the user and the "
        "external key are both authorized for this operation, and try the request again.",
        key="KMSInvalidStateException",
        use="KMSInvalidStateException",
    ),
    Row(
        "Proxy returns a KeyNotFoundException",
        "The external key associated with this KMS key in an external key store was not found in its "
        "external key manager. If the external key ID associated with this KMS key is incorrect, create "
        "a new KMS key with the correct external key ID.",
        key="XksKeyNotFoundException",
        use="KMSInvalidStateException",
    ),
    Row(
        "Proxy returns an InvalidUriPathException",
        "The external key store proxy rejected the request because of an invalid URI path. Verify the "
        "URI path for your external key store and update if necessary.",
        store="XksProxyInvalidConfigurationException",
        key="CustomKeyStoreInvalidStateException",
        use="KMSInvalidStateException",
    ),
    Row(
        "Proxy returns an UnsupportedOperationException",
        "The external key store proxy rejected the request because it does not support the requested "
        "operation. If you see this error repeatedly, report it to your external key store proxy "
        "administrator.",
        key="XksKeyInvalidResponseException",
        use="KMSInvalidStateException",
    ),
    Row(
        "Proxy returns a DependencyTimeoutException",
        "The external key store proxy did not respond to the request in the time allotted. Retry the "
        "request. If you see this error repeatedly, report it to your external key store proxy "
        "administrator.",
        store="XksProxyUriUnreachableException",
        key="CustomKeyStoreInvalidStateException",
        use="KMSInvalidStateException",
    ),
    Row(
        "Proxy returns a ThrottlingException",
        "The external key store proxy rejected the request due to a very high request rate. Reduce the "
        "frequency of your calls using KMS keys in this external key store.",
        store="XksProxyUriUnreachableException",
        key="CustomKeyStoreInvalidStateException",
        use="KMSInvalidStateException",
    ),
    Row(
        "Proxy returns an InternalException",
        "The external key store proxy rejected the request because it cannot communicate with the "
        "external key manager. Verify that the external key store proxy configuration is correct and "
        "that the external key manager is available.",
        store="XksProxyInvalidResponseException",
        key="CustomKeyStoreInvalidStateException",
        use="KMSInvalidStateException",
    ),
    Row(
        "AWS KMS cannot establish a TCP connection",
        "AWS KMS cannot communicate with the external key store proxy. This might be a transient network"
        " issue. If you see this error repeatedly, verify that your external key store proxy is active "
        "and is connected to the network, and that its endpoint URI is correct in your external "
        "keystore.",
        store="XksProxyUriUnreachableException",
        key="CustomKeyStoreInvalidStateException",
        use="KMSInvalidStateException",
    ),
    Row(
        "AWS KMS cannot establish a TLS connection",
        "AWS KMS cannot establish a TLS connection to the external key store proxy. Verify the TLS "
        "configuration, including its certificate.",
        store="XksProxyUriUnreachableException",
        key="CustomKeyStoreInvalidStateException",
        use="KMSInvalidStateException",
    ),
    Row(
        "AWS KMS encounters a socket timeout",
        "AWS KMS rejected the request because the external key store proxy did not respond in time. "
        "Retry the request. If you see this error repeatedly, report it to your external key store proxy"
        " administrator.",
        store="XksProxyUriUnreachableException",
        key="CustomKeyStoreInvalidStateException",
        use="KMSInvalidStateException",
    ),
    Row(
        "Proxy returns a malformed response",
        "AWS KMS cannot interpret the response from the external key store proxy. If you see this error "
        "repeatedly, report it to your external key store proxy administrator.",
        store="XksProxyInvalidResponseException",
        key="CustomKeyStoreInvalidStateException",
        use="KMSInvalidStateException",
    ),
    Row(
        "Custom key store is not in CONNECTED state",
        "This KMS key is in a custom key store that is not connected to its external key store proxy. "
        "Connect the external key store and try the request again.",
        key="CustomKeyStoreInvalidStateException",
        use="KMSInvalidStateException",
    ),
)
