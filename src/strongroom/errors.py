"""The one error family: every refusal a client can see, named as AWS names it.

A class's name is the ``__type`` on the wire. ``status`` is the HTTP status: AWS KMS answers 400 for every client
error, not-found and access-denied included, and 500 for the three faults (KMS API Reference, "Common Errors").
A ``message`` of None leaves the message member out of the answer, as AWS does for a few of them.
"""

from collections.abc import Mapping
from typing import ClassVar

from typing_extensions import override


class KmsError(Exception):
    """Root of the family. Anything else that escapes is a defect and reaches the client as KMSInternalException."""

    status: ClassVar[int] = 400
    code: ClassVar[str] = "KmsError"

    @override
    def __init_subclass__(cls) -> None:
        if "code" not in cls.__dict__:
            cls.code = cls.__name__

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or "")
        self.message = message
        self.details: Mapping[str, object] | None = None
        """What the audit record says beyond the message; never sent to the caller."""


# --- the front end: before an operation is known or its caller trusted -----------------------------


class UnknownOperationException(KmsError):
    """The target names no operation of this service."""


class SerializationException(KmsError):
    """The body is not the JSON the operation expects."""


class RequestEntityTooLargeException(KmsError):
    """The body is larger than any request can be."""

    status = 413


class MissingAuthenticationTokenException(KmsError):
    """The request carries no signature."""


class IncompleteSignatureException(KmsError):
    """The Authorization header lacks a part, or cannot be read."""


class InvalidSignatureException(KmsError):
    """The signature does not match, is stale, or is scoped to something else."""


class UnrecognizedClientException(KmsError):
    """The access key or session token is unknown."""


class ExpiredSessionException(KmsError):
    """The session token's time is over."""

    code = "ExpiredTokenException"


class ThrottlingException(KmsError):
    """Too many requests."""


# --- requests ------------------------------------------------------------------------------------


class ValidationException(KmsError):
    """A field breaks a limit, or fields contradict each other."""


class AccessDeniedException(KmsError):
    """Policies and grants do not allow the call."""


class NotFoundException(KmsError):
    """The key or alias does not exist."""


class InvalidArnException(KmsError):
    """An ARN is malformed or names the wrong kind of resource."""


class AlreadyExistsException(KmsError):
    """The alias is taken."""


class InvalidAliasNameException(KmsError):
    """The alias name is not allowed."""


class NotAuthorizedException(KmsError):
    """The alias name is reserved for AWS managed keys."""


class InvalidMarkerException(KmsError):
    """The pagination marker was not issued by this operation."""


class LimitExceededException(KmsError):
    """A resource quota is used up."""


class TagException(KmsError):
    """A tag is not acceptable."""


class MalformedPolicyDocumentException(KmsError):
    """A policy document cannot be accepted."""


class UnsupportedOperationException(KmsError):
    """The operation does not apply to this kind of key, or the service does not offer it."""


class DryRunOperationException(KmsError):
    """The call would have succeeded, but asked not to."""

    def __init__(self) -> None:
        super().__init__("The request would have succeeded, but the DryRun option is set.")


class InvalidGrantTokenException(KmsError):
    """A grant token was not issued here."""


class InvalidGrantIdException(KmsError):
    """The key has no grant of that id."""


# --- IAM and STS: their codes differ from the names of their types --------------------------------


class InvalidInputException(KmsError):
    """A member's value cannot be accepted."""

    code = "InvalidInput"


class NoSuchEntityException(KmsError):
    """The user, group, role, policy or access key does not exist."""

    status = 404
    code = "NoSuchEntity"


class EntityAlreadyExistsException(KmsError):
    """The name is taken."""

    status = 409
    code = "EntityAlreadyExists"


class DeleteConflictException(KmsError):
    """Something still belongs to, or refers to, what is to be deleted."""

    status = 409
    code = "DeleteConflict"


class UnmodifiableEntityException(KmsError):
    """The entity belongs to the service."""

    code = "UnmodifiableEntity"


class InvalidParameterValueException(KmsError):
    """Session tags contradict each other, or those that the session inherits."""

    code = "InvalidParameterValue"


class PackedPolicyTooLargeException(KmsError):
    """Session policies and tags are too large together."""

    code = "PackedPolicyTooLarge"


class ExpiredTokenException(KmsError):
    """A web identity token's time is over. Not to be confused with a session's, though the code can be the same."""


class InvalidIdentityTokenException(KmsError):
    """A web identity token cannot be verified."""

    code = "InvalidIdentityToken"


class IDPRejectedClaimException(KmsError):
    """A web identity token is not for us, or speaks for nobody."""

    status = 403
    code = "IDPRejectedClaim"


class IDPCommunicationErrorException(KmsError):
    """The keys of an identity provider cannot be had."""

    code = "IDPCommunicationError"


# --- keys ----------------------------------------------------------------------------------------


class DisabledException(KmsError):
    """The key is disabled."""


class KMSInvalidStateException(KmsError):
    """The key's state does not allow the operation."""


class InvalidKeyUsageException(KmsError):
    """The key's usage or spec does not allow the operation."""


class InvalidCiphertextException(KmsError):
    """The ciphertext is not ours, was altered, or belongs to another encryption context. Says nothing more."""


class IncorrectKeyException(KmsError):
    """The ciphertext belongs to another key than the one named."""

    def __init__(self) -> None:
        super().__init__("The key ID in the request does not identify a CMK that can perform this operation.")


class KMSInvalidSignatureException(KmsError):
    """The signature is not the message's. Says nothing more."""


class KMSInvalidMacException(KmsError):
    """The tag is not the message's. Says nothing more."""


class ExpiredImportTokenException(KmsError):
    """An import token's day is over."""


class InvalidImportTokenException(KmsError):
    """An import token was not issued for this key."""


class IncorrectKeyMaterialException(KmsError):
    """The key material is not valid for the key, or not the one it had before."""


class ConflictException(KmsError):
    """A rotation of this key is already in progress."""


class CustomKeyStoreNotFoundException(KmsError):
    """No such custom key store."""


class CustomKeyStoreInvalidStateException(KmsError):
    """The custom key store's connection state does not allow the operation."""


class CustomKeyStoreNameInUseException(KmsError):
    """Another custom key store has that name."""


class CustomKeyStoreHasCMKsException(KmsError):
    """The custom key store holds KMS keys."""


class CloudHsmClusterInUseException(KmsError):
    """Another custom key store is in that cluster."""


class XksProxyUriInUseException(KmsError):
    """Another external key store has that proxy."""


class XksProxyUriEndpointInUseException(KmsError):
    """Another external key store has that endpoint, and they cannot share it."""


class XksProxyVpcEndpointServiceInUseException(KmsError):
    """Another external key store has that VPC endpoint service."""


# --- faults: ours, not the caller's --------------------------------------------------------------


class KMSInternalException(KmsError):
    """A fault in the service. The request id finds the log line."""

    status = 500

    def __init__(
        self, message: str = "The service could not complete the request because of an internal error."
    ) -> None:
        super().__init__(message)


class DependencyTimeoutException(KmsError):
    """Something the service relies on did not answer in time."""

    status = 500


class WriteOutcomeUnknown(DependencyTimeoutException):
    """A commit neither succeeded nor failed for certain, so nothing may be undone as if it had failed."""

    code = DependencyTimeoutException.code
    status = DependencyTimeoutException.status


class KeyUnavailableException(KmsError):
    """The key cannot be reached now; the request can be retried."""

    status = 500
