"""All errors that a client can see, with AWS's names; those of external key stores are in ``keys.xks_errors``.

A class's name is the ``__type`` on the wire. ``status`` is the HTTP status: AWS KMS answers 400 for every client
error, not-found and access-denied included, and 500 for the three faults (KMS API Reference, "Common Errors").
A ``message`` of None leaves the message member out of the answer, as AWS does for a few of them.
"""

from collections.abc import Mapping
from typing import ClassVar

from typing_extensions import override

MAX_MESSAGE = 8192
"""The most characters of a message. Many repeat what the client sent, and no answer may be much larger than that."""

_CUT = "..."


class KmsError(Exception):
    """Base of all errors. Any other exception of a call is a bug, and the client gets KMSInternalException.

    A message of more than ``MAX_MESSAGE`` characters is cut.
    """

    status: ClassVar[int] = 400
    code: ClassVar[str] = "KmsError"

    @override
    def __init_subclass__(cls) -> None:
        if "code" not in cls.__dict__:
            cls.code = cls.__name__

    def __init__(self, message: str | None = None) -> None:
        if message is not None and len(message) > MAX_MESSAGE:
            message = message[: MAX_MESSAGE - len(_CUT)] + _CUT
        super().__init__(message or "")
        self.message = message
        self.details: Mapping[str, object] | None = None
        """Details for the audit record. They are never sent to the caller."""
        self.explanation = ""
        """What the operator is told, and no caller; empty if the message says it all."""


# --- before the operation is known or the caller is authenticated ---------------------------------


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
    """The Authorization header lacks a part, or has another format."""


class InvalidSignatureException(KmsError):
    """The signature does not match, is too old, or is for another service, Region or date."""


class UnrecognizedClientException(KmsError):
    """The access key or session token is unknown."""


class ExpiredSessionException(KmsError):
    """The session token has expired."""

    code = "ExpiredTokenException"


class ThrottlingException(KmsError):
    """Too many requests."""


# --- requests ------------------------------------------------------------------------------------


class ValidationException(KmsError):
    """A member breaks a limit, or members contradict each other."""


class AccessDeniedException(KmsError):
    """Policies and grants do not allow the call."""


class QuarantinedIdentityException(AccessDeniedException):
    """The stored record of an account, a user, a role, a policy or an access key is not as the service wrote it."""

    code = AccessDeniedException.code


class NotFoundException(KmsError):
    """The key or alias does not exist."""


class InvalidArnException(KmsError):
    """An ARN is malformed or names the wrong kind of resource."""


class AlreadyExistsException(KmsError):
    """An alias of that name exists already."""


class InvalidAliasNameException(KmsError):
    """The alias name is not allowed."""


class NotAuthorizedException(KmsError):
    """The alias name is reserved for AWS managed keys."""


class InvalidMarkerException(KmsError):
    """The pagination marker was not issued by this operation."""


class LimitExceededException(KmsError):
    """A resource quota is used up."""


class TagException(KmsError):
    """A tag is not valid."""


class MalformedPolicyDocumentException(KmsError):
    """A policy document is not valid."""


class UnsupportedOperationException(KmsError):
    """The operation does not apply to this kind of key, or the service does not offer it."""


class DryRunOperationException(KmsError):
    """The call was a dry run, and would have succeeded."""

    def __init__(self) -> None:
        super().__init__("The request would have succeeded, but the DryRun option is set.")


class InvalidGrantTokenException(KmsError):
    """The service did not issue the grant token."""


class InvalidGrantIdException(KmsError):
    """The key has no grant of that id."""


# --- IAM and STS: their codes differ from the names of their types --------------------------------


class InvalidInputException(KmsError):
    """The value of a member is not valid."""

    code = "InvalidInput"


class NoSuchEntityException(KmsError):
    """The user, group, role, policy or access key does not exist."""

    status = 404
    code = "NoSuchEntity"


class EntityAlreadyExistsException(KmsError):
    """An entity of that name exists already."""

    status = 409
    code = "EntityAlreadyExists"


class DeleteConflictException(KmsError):
    """The entity cannot be deleted: something still belongs to it or refers to it."""

    status = 409
    code = "DeleteConflict"


class CredentialReportNotPresentException(KmsError):
    """The account has no credential report yet."""

    status = 410
    code = "ReportNotPresent"


class CredentialReportExpiredException(KmsError):
    """The account's latest credential report is too old."""

    status = 410
    code = "ReportExpired"


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
    """A web identity token has expired. Its code can be the same as for a session token."""


class InvalidIdentityTokenException(KmsError):
    """A web identity token cannot be verified."""

    code = "InvalidIdentityToken"


class IDPRejectedClaimException(KmsError):
    """A web identity token has another audience, or no subject."""

    status = 403
    code = "IDPRejectedClaim"


class IDPCommunicationErrorException(KmsError):
    """The keys of an identity provider are not available."""

    code = "IDPCommunicationError"


# --- keys ----------------------------------------------------------------------------------------


class DisabledException(KmsError):
    """The key is disabled."""


class KMSInvalidStateException(KmsError):
    """The key's state does not allow the operation."""


class QuarantinedRecordException(KMSInvalidStateException):
    """The stored record of a key, of its material, of an alias or of a key store is not as the service wrote it.

    Another attempt would end in the same way, so clients must not retry it.
    """

    code = KMSInvalidStateException.code


class InvalidKeyUsageException(KmsError):
    """The key's usage or spec does not allow the operation."""


class InvalidCiphertextException(KmsError):
    """The ciphertext was not made here, was altered, or has another encryption context. It is not told which."""


class IncorrectKeyException(KmsError):
    """The ciphertext belongs to another key than the one named."""

    def __init__(self) -> None:
        super().__init__("The key ID in the request does not identify a CMK that can perform this operation.")


class KMSInvalidSignatureException(KmsError):
    """The signature does not verify. The error does not tell why."""


class KMSInvalidMacException(KmsError):
    """The MAC does not verify. The error does not tell why."""


class ExpiredImportTokenException(KmsError):
    """An import token has expired; it is valid for 24 hours."""


class InvalidImportTokenException(KmsError):
    """An import token was not issued for this key."""


class IncorrectKeyMaterialException(KmsError):
    """The key material is not valid for the key, or differs from what it had before."""


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


class CloudHsmClusterNotFoundException(KmsError):
    """There is no such cluster, or the operator has not listed it."""


class IncorrectTrustAnchorException(KmsError):
    """The trust anchor certificate is not that of the cluster."""


# --- faults of the service ------------------------------------------------------------------------


class KMSInternalException(KmsError):
    """A fault in the service. The log line has the request id."""

    status = 500

    def __init__(
        self, message: str = "The service could not complete the request because of an internal error."
    ) -> None:
        super().__init__(message)


class RandomSourceException(KMSInternalException):
    """The random number generator has repeated itself, so no key, nonce or id can be made."""

    code = KMSInternalException.code


class DependencyTimeoutException(KmsError):
    """Something the service relies on did not answer in time."""

    status = 500


class WriteOutcomeUnknown(DependencyTimeoutException):
    """It is not known whether a commit succeeded, so nothing may be undone as if it had failed."""

    code = DependencyTimeoutException.code
    status = DependencyTimeoutException.status


class TargetChanged(DependencyTimeoutException):
    """What a request names has become something else since the call was authorized: it has to begin again.

    The caller sees it only if that happens again and again.
    """

    code = DependencyTimeoutException.code
    status = DependencyTimeoutException.status

    def __init__(self) -> None:
        super().__init__("What the request names was changed by other requests at the same time. Try again.")


class KeyUnavailableException(KmsError):
    """The key is not available now; the request can be retried."""

    status = 500
