"""Keys that tests only use, made once for all of them; and what answers say."""

from typing import Any

from mypy_boto3_kms.client import KMSClient


class Keyring:
    """Makes keys by spec and usage; returns ARNs. Large RSA keys take a second each, so tests share them."""

    def __init__(self, kms: KMSClient) -> None:
        self._kms = kms
        self._made: dict[tuple[str, str], str] = {}

    def __call__(self, spec: str, usage: str) -> str:
        """Return the key that all tests use: leave it as it is."""
        if (spec, usage) not in self._made:
            self._made[spec, usage] = self.new(spec, usage)
        return self._made[spec, usage]

    def new(self, spec: str, usage: str, **more: Any) -> str:
        """Return a key of one's own."""
        asked: dict[str, Any] = {"KeySpec": spec, "KeyUsage": usage, **more}
        return self._kms.create_key(**asked)["KeyMetadata"]["Arn"]

    def names(self, arn: str) -> list[str]:
        """Return the four forms by which a key can be called; gives it an alias."""
        key_id = arn.rpartition("/")[2]
        self._kms.create_alias(AliasName=f"alias/of/{key_id}", TargetKeyId=arn)
        return [key_id, arn, f"alias/of/{key_id}", f"{arn.rpartition(':')[0]}:alias/of/{key_id}"]


def members(answer: Any) -> dict[str, Any]:
    """Return what an answer says, without boto3's own addition."""
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}
