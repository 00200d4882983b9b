"""The errors of external key stores: of their proxies, and of the external keys behind those.

As in ``strongroom.errors``, a class's name is the ``__type`` on the wire.
"""

from strongroom.errors import KmsError


class XksProxyUriInUseException(KmsError):
    """Another external key store has that proxy."""


class XksProxyUriEndpointInUseException(KmsError):
    """Another external key store has that endpoint, and they cannot share it."""


class XksProxyVpcEndpointServiceInUseException(KmsError):
    """Another external key store has that VPC endpoint service."""


class XksProxyUriUnreachableException(KmsError):
    """The proxy of an external key store does not answer, or its host is not one that the operator allows."""


class XksProxyIncorrectAuthenticationCredentialException(KmsError):
    """The proxy of an external key store refuses the credential."""


class XksProxyInvalidResponseException(KmsError):
    """What the proxy of an external key store answers cannot be interpreted."""


class XksProxyInvalidConfigurationException(KmsError):
    """The proxy of an external key store does not know the URI path."""


class XksKeyNotFoundException(KmsError):
    """The proxy of an external key store does not know the external key."""


class XksKeyInvalidConfigurationException(KmsError):
    """The external key is no enabled AES-256 key that encrypts and decrypts."""


class XksKeyInvalidResponseException(KmsError):
    """The proxy of an external key store does not support what is asked of the external key."""


class XksKeyAlreadyInUseException(KmsError):
    """Another KMS key of the external key store uses the external key."""
