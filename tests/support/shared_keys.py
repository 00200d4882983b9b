"""KMS keys that several tests share, because they only use them."""

from typing import Any

from mypy_boto3_kms.client import KMSClient


class SharedKeys:
    """Creates one key for each spec and usage, and returns ARNs. Tests share them because RSA keys are slow to make."""

    def __init__(self, kms: KMSClient) -> None:
        self._kms = kms
        self._made: dict[tuple[str, str], str] = {}

    def __call__(self, spec: str, usage: str) -> str:
        """Return the ARN of the shared key. Tests must not change it."""
        if (spec, usage) not in self._made:
            self._made[spec, usage] = self.new(spec, usage)
        return self._made[spec, usage]

    def new(self, spec: str, usage: str, **more: Any) -> str:
        """Return the ARN of a new key that the test does not share."""
        asked: dict[str, Any] = {"KeySpec": spec, "KeyUsage": usage, **more}
        return self._kms.create_key(**asked)["KeyMetadata"]["Arn"]

    def names(self, arn: str) -> list[str]:
        """Give a key an alias, and return its four identifiers: id, ARN, alias name and alias ARN."""
        key_id = arn.rpartition("/")[2]
        self._kms.create_alias(AliasName=f"alias/of/{key_id}", TargetKeyId=arn)
        return [key_id, arn, f"alias/of/{key_id}", f"{arn.rpartition(':')[0]}:alias/of/{key_id}"]
