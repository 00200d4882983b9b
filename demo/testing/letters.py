"""A small application: letters that are sealed with a KMS key, each for one reader."""

from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, ReadTimeoutError

ALIAS = "alias/letters"


class NotAllowedError(Exception):
    """The caller may not do this."""


class TryLaterError(Exception):
    """KMS does not answer, or is throttled."""


class GoneError(Exception):
    """The key of the letters was deleted, and the letters with it."""


class Letters:
    """Seals and opens letters. Without a client, it makes one from the environment, as in production.

    It waits for each answer for at most ``patience`` seconds, and makes at most ``attempts`` of a call.
    """

    def __init__(self, kms: Any = None, *, patience: float = 10.0, attempts: int = 3) -> None:
        config = Config(read_timeout=patience, retries={"mode": "standard", "total_max_attempts": attempts})
        self._kms = kms or boto3.client("kms", config=config)

    def set_up(self) -> str:
        """Make the key of the letters, which rotates each year; return its ARN."""
        key: str = self._kms.create_key(Description="letters")["KeyMetadata"]["Arn"]
        self._kms.enable_key_rotation(KeyId=key)
        self._kms.create_alias(AliasName=ALIAS, TargetKeyId=key)
        return key

    def seal(self, text: str, reader: str) -> bytes:
        """Return a letter that is sealed for a reader."""
        answer = self._call("encrypt", KeyId=ALIAS, Plaintext=text.encode(), EncryptionContext={"reader": reader})
        blob: bytes = answer["CiphertextBlob"]
        return blob

    def open(self, letter: bytes, reader: str) -> str:
        """Return the text of a letter; raises NotAllowedError for one that is sealed for another reader."""
        answer = self._call("decrypt", CiphertextBlob=letter, EncryptionContext={"reader": reader})
        text: bytes = answer["Plaintext"]
        return text.decode()

    def _call(self, operation: str, **parameters: Any) -> Any:
        try:
            return getattr(self._kms, operation)(**parameters)
        except ReadTimeoutError as error:
            raise TryLaterError(str(error)) from error
        except ClientError as error:
            raise _meaning(error) from error


def _meaning(error: ClientError) -> Exception:
    code = error.response["Error"]["Code"]
    if code in {"AccessDeniedException", "InvalidCiphertextException", "ExpiredTokenException"}:
        return NotAllowedError(str(error))
    if code in {"ThrottlingException", "KMSInternalException"}:
        return TryLaterError(str(error))
    if code in {"NotFoundException", "KMSInvalidStateException"}:
        return GoneError(str(error))
    return error
