"""Amazon Resource Names of keys and aliases, and the forms a ``KeyId`` parameter can take.

Source: KMS Developer Guide, "Key identifiers (KeyId)".
"""

import re
from enum import Enum
from functools import lru_cache

import msgspec

from strongroom.arns import known_arn
from strongroom.errors import InvalidArnException, KmsError, NotFoundException

ALIAS_PREFIX = "alias/"
MULTI_REGION_PREFIX = "mrk-"

_REMEMBERED = 16_384

_KEY_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|mrk-[0-9a-f]{32}")
# Stricter than ``strongroom.arns``, which accepts any ARN: only keys and aliases, and the characters KMS allows.
_ARN = re.compile(r"arn:([a-z-]{1,32}):kms:([a-z0-9-]{1,64}):([0-9]{12}):(key|alias)/(.{1,256})", re.DOTALL)


class KeyIdForms(Enum):
    """Which forms an operation's key parameter accepts."""

    ANY = "key id, key ARN, alias name or alias ARN"
    KEY_ONLY = "key id or key ARN"


class KeyLocator(msgspec.Struct, frozen=True, gc=False):
    """The account, Region and id of a key. Key ids are unique within one account and Region."""

    account: str
    region: str
    key_id: str

    @property
    def arn(self) -> str:
        """The key's ARN."""
        return key_arn(self.region, self.account, self.key_id)


class AliasLocator(msgspec.Struct, frozen=True, gc=False):
    """The account, Region and name of an alias; ``name`` includes the ``alias/`` prefix."""

    account: str
    region: str
    name: str

    @property
    def arn(self) -> str:
        """The alias's ARN."""
        return f"arn:{partition(self.region)}:kms:{self.region}:{self.account}:{self.name}"


PARTITIONS = ("aws", "aws-cn", "aws-us-gov")
"""The partitions that Regions can belong to."""


def partition(region: str) -> str:
    """Return the AWS partition a Region belongs to."""
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"


def key_arn(region: str, account: str, key_id: str) -> str:
    """Return ``arn:PARTITION:kms:REGION:ACCOUNT:key/ID``."""
    return f"arn:{partition(region)}:kms:{region}:{account}:key/{key_id}"


def locator_of(arn: str) -> KeyLocator:
    """Return the locator in a key ARN that this service made; raises ValueError for text that is no ARN."""
    parsed = known_arn(arn)
    return KeyLocator(parsed.account, parsed.region, parsed.resource.removeprefix("key/"))


def root_arn(region: str, account: str) -> str:
    """Return the ARN of the account's root, in the partition of ``region``."""
    return f"arn:{partition(region)}:iam::{account}:root"


@lru_cache(maxsize=_REMEMBERED)
def parse_key_id(text: str, account: str, region: str, forms: KeyIdForms) -> KeyLocator | AliasLocator:
    """Parse a ``KeyId`` parameter sent by a caller of ``account`` to ``region``.

    Raises InvalidArnException for an ARN of another form and for an alias that the operation does not accept. Raises
    NotFoundException for an identifier that cannot exist here. The messages are AWS's.
    """
    locator = _parse_arn(text, region) if text.startswith("arn:") else _parse_name(text, account, region)
    if forms is KeyIdForms.KEY_ONLY and isinstance(locator, AliasLocator):
        raise InvalidArnException("Key Aliases are not supported for this operation.")
    return locator


def not_found(locator: KeyLocator | AliasLocator) -> KmsError:
    """Return AWS's refusal for a key or alias that does not exist."""
    if isinstance(locator, KeyLocator):
        return NotFoundException(f"Key '{locator.arn}' does not exist")
    return NotFoundException(f"Alias {locator.arn} is not found.")


def _parse_name(text: str, account: str, region: str) -> KeyLocator | AliasLocator:
    if text.startswith(ALIAS_PREFIX):
        return AliasLocator(account, region, text)
    if not _KEY_ID.fullmatch(text):
        raise NotFoundException(f"Invalid keyId '{text}'")
    return KeyLocator(account, region, text)


def _parse_arn(text: str, here: str) -> KeyLocator | AliasLocator:
    match = _ARN.fullmatch(text)
    if match is None:
        raise InvalidArnException(f"Invalid arn {text}")
    part, region, account, kind, name = match.groups()
    if region != here or part != partition(here):
        raise NotFoundException(f"Invalid arn {region}")
    if kind == "alias":
        return AliasLocator(account, region, ALIAS_PREFIX + name)
    if not _KEY_ID.fullmatch(name):
        raise NotFoundException(f"Invalid keyId '{name}'")
    return KeyLocator(account, region, name)
