"""Rules for names that callers choose: aliases and tags (KMS API Reference, CreateAlias and TagResource).

The keys of tags that differ only by case would be one condition key, ``aws:ResourceTag/KEY``, with two values. So a
resource has at most one of them.
"""

import re
from collections.abc import Iterable

from strongroom.errors import NotAuthorizedException, TagException, ValidationException
from strongroom.keys.arns import ALIAS_PREFIX

MAX_TAGS = 50
RESERVED_ALIAS_PREFIX = "alias/aws/"
TAG_CHARACTERS = r"\w \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000.:/=+\-@"
r"""What keys and values of tags consist of: AWS's ``\p{L}\p{Z}\p{N}_.:/=+\-@``, as a set of Python's expressions.

They have no classes of Unicode's; ``\w`` stands for letters, digits and the underscore.
"""
DUPLICATE_KEYS = "Duplicate tag keys found. Please note that Tag keys are case insensitive."

_TAG_TEXT = re.compile(f"[{TAG_CHARACTERS}]*")
_ALIAS_CHARACTERS = re.compile(r"[a-zA-Z0-9:/_-]+")


def require_alias_prefix(name: str) -> None:
    """Refuse an alias name that lacks ``alias/`` or anything after it; raises ValidationException."""
    if not name.startswith(ALIAS_PREFIX):
        raise ValidationException(
            'Alias must start with the prefix "alias/". Please see '
            "https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html"
        )
    if name == ALIAS_PREFIX or not _ALIAS_CHARACTERS.fullmatch(name):
        raise ValidationException(f"{name} contains invalid characters for an alias")


def require_new_alias(name: str) -> None:
    """Refuse names that a new alias cannot have: the pattern of alias names has a colon, new names must not.

    Raises what ``require_customer_alias`` raises. Source: KMS API Reference, CreateAlias.
    """
    require_customer_alias(name)
    if ":" in name:
        raise ValidationException(f"{name} contains invalid characters for an alias")


def require_customer_alias(name: str) -> None:
    """Refuse alias names that a customer cannot use.

    Raises ValidationException as ``require_alias_prefix`` does, and NotAuthorizedException for ``alias/aws/``, which is
    reserved for AWS managed keys.
    """
    require_alias_prefix(name)
    if name.startswith(RESERVED_ALIAS_PREFIX):
        raise NotAuthorizedException("")


def folded(key: str) -> str:
    """Return the form in which the keys of tags are compared without regard to case.

    Conditions compare the keys of encryption contexts in this form, too. Constraints of grants compare them in lower
    case (``grants.pairs``), because labels made of that are stored.

    Keys that are equal in lower case, as policies have them, are equal in this form too; so are those that differ by
    a letter such as U+017F, the long s, which has ``S`` as its upper case and itself as its lower case.
    """
    return key.casefold()


def is_reserved(key: str) -> bool:
    """Tell whether AWS reserves a tag key for itself."""
    return folded(key).startswith("aws:")


def require_tag_keys(keys: Iterable[str]) -> None:
    """Refuse tag keys AWS reserves; raises TagException."""
    if any(map(is_reserved, keys)):
        raise TagException("Tags beginning with aws: are reserved")


def merge_tags(existing: tuple[tuple[str, str], ...], added: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Return the tags after TagResource or CreateKey, ordered by key.

    Raises TagException for duplicate, reserved or too many tags, for keys that differ only by case from another one,
    and for characters that tags cannot have.
    """
    keys = [key for key, _ in added]
    if len(set(keys)) != len(keys):
        raise TagException("Duplicate tag keys")
    require_tag_keys(keys)
    if not all(_TAG_TEXT.fullmatch(text) for pair in added for text in pair):
        raise TagException("Invalid tag")
    stored = {folded(key) for key, _ in existing if key not in keys}
    if len({folded(key) for key in keys} - stored) != len(keys):
        raise TagException(DUPLICATE_KEYS)
    merged = dict(existing) | dict(added)
    if len(merged) > MAX_TAGS:
        raise TagException("Too many tags")
    return tuple(sorted(merged.items()))


def remove_tags(existing: tuple[tuple[str, str], ...], removed: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Return the tags after UntagResource; keys that are not there are no error. Raises TagException if reserved."""
    gone = set(removed)
    require_tag_keys(gone)
    return tuple((key, value) for key, value in existing if key not in gone)
