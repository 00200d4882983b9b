"""What every cryptographic operation asks of its key first: that it is for this."""

from strongroom.errors import DryRunOperationException, InvalidKeyUsageException
from strongroom.keys.kms_key import KmsKey
from strongroom.keys.specs import KeySpec, KeyUsage


def require_usage(key: KmsKey, usage: KeyUsage, operation: str) -> None:
    """Refuse keys of another usage; raises InvalidKeyUsageException."""
    if key.usage is not usage:
        raise InvalidKeyUsageException(f"{key.arn} key usage is {key.usage} which is not valid for {operation}.")


def require_symmetric(key: KmsKey, operation: str) -> None:
    """Refuse keys that cannot wrap data keys; raises InvalidKeyUsageException."""
    require_usage(key, KeyUsage.ENCRYPT_DECRYPT, operation)
    if key.spec is not KeySpec.SYMMETRIC_DEFAULT:
        raise InvalidKeyUsageException(f"{key.arn} key spec is {key.spec} which is not valid for {operation}.")


def require_not_dry_run(dry_run: bool | None) -> None:  # noqa: FBT001 - the request's own field
    """End a dry run that has come this far; raises DryRunOperationException."""
    if dry_run:
        raise DryRunOperationException
