"""The condition keys of KMS, and the global ones that make sense here: where their values come from.

Source: Service Authorization Reference, "Condition keys for AWS Key Management Service"; IAM User Guide, "AWS global
condition context keys". Nothing is computed until a policy asks. Keys of the principal are the policy engine's own.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from strongroom.audit.record import event_time
from strongroom.keys.specs import KeySpec, KeyUsage
from strongroom.operations.context import Context
from strongroom.operations.key_metadata import MultiRegionKeyType
from strongroom.operations.shapes import Request
from strongroom.operations.targets import Target

Values = tuple[str, ...] | None


class Circumstances(msgspec.Struct, frozen=True):
    """What a policy can ask about: the call, its request, and the target being decided on among all of them."""

    context: Context
    request: Request
    target: Target
    targets: Sequence[Target]

    def read(self, name: str) -> Values:
        """Return the values of a condition key, by its lower-case name; None if the call does not carry it."""
        reader = _KEYS.get(name)
        if reader is not None:
            return reader(self)
        prefix, separator, rest = _split(name)
        family = _FAMILIES.get(prefix + separator)
        return None if family is None else family(self, rest)

    def field(self, name: str) -> Any:  # noqa: ANN401 - requests differ
        """Return a field of the request, None if it has none of that name."""
        return getattr(self.request, name, None)


def _split(name: str) -> tuple[str, str, str]:
    """Take ``aws:requesttag/team`` or ``kms:encryptioncontext:team`` apart."""
    if name.startswith("kms:encryptioncontext:"):
        return "kms:encryptioncontext", ":", name.removeprefix("kms:encryptioncontext:")
    return name.partition("/")


def _text(value: object) -> Values:
    return None if value is None else (str(value),)


def _flag(value: bool | None) -> Values:  # noqa: FBT001 - that is what it converts
    return None if value is None else ("true" if value else "false",)


# --- the key, existing or about to be


def _key_spec(here: Circumstances) -> Values:
    if here.target.key is not None:
        return (here.target.key.key.spec,)
    if here.target.action != "kms:CreateKey":
        return None
    return (here.field("key_spec") or here.field("customer_master_key_spec") or KeySpec.SYMMETRIC_DEFAULT,)


def _key_usage(here: Circumstances) -> Values:
    if here.target.key is not None:
        return (here.target.key.key.usage,)
    return (here.field("key_usage") or KeyUsage.ENCRYPT_DECRYPT,) if here.target.action == "kms:CreateKey" else None


def _key_origin(here: Circumstances) -> Values:
    return (here.target.key.key.origin,) if here.target.key is not None else _text(here.field("origin"))


def _multi_region(here: Circumstances) -> Values:
    if here.target.key is not None:
        return _flag(here.target.key.key.multi_region)
    return _flag(bool(here.field("multi_region"))) if here.target.action == "kms:CreateKey" else None


def _multi_region_key_type(here: Circumstances) -> Values:
    return (MultiRegionKeyType.PRIMARY,) if _multi_region(here) == ("true",) else None


def _resource_aliases(here: Circumstances) -> Values:
    return None if here.target.key is None else here.target.key.key.aliases


def _resource_tag(here: Circumstances, name: str) -> Values:
    tags = () if here.target.key is None else here.target.key.key.tags
    return _first(tags, name)


# --- the request


def _encryption_context(here: Circumstances) -> dict[str, str]:
    names = {"kms:ReEncryptFrom": "source_encryption_context", "kms:ReEncryptTo": "destination_encryption_context"}
    found: dict[str, str] | None = here.field(names.get(here.target.action, "encryption_context"))
    return found or {}


def _encryption_context_pair(here: Circumstances, name: str) -> Values:
    # Keys differ by case in a context, but not in the name of a condition key: every match counts.
    return tuple(value for key, value in _encryption_context(here).items() if key.lower() == name) or None


def _encryption_algorithm(here: Circumstances) -> Values:
    names = {"kms:ReEncryptFrom": "source_encryption_algorithm", "kms:ReEncryptTo": "destination_encryption_algorithm"}
    if here.target.action.startswith("kms:GenerateDataKey"):
        return ("SYMMETRIC_DEFAULT",)
    return _text(here.field(names.get(here.target.action, "encryption_algorithm")))


def _re_encrypt_on_same_key(here: Circumstances) -> Values:
    if not here.target.action.startswith("kms:ReEncrypt"):
        return None
    source, destination = here.targets
    return _flag(source.resource == destination.resource)


def _request_tag_keys(here: Circumstances) -> Values:
    removed: list[str] | None = here.field("tag_keys")
    return tuple(removed) if removed is not None else tuple(key for key, _ in _request_tags(here)) or None


def _request_tags(here: Circumstances) -> list[tuple[str, str]]:
    return [(tag.tag_key, tag.tag_value) for tag in here.field("tags") or ()]


def _first(pairs: Sequence[tuple[str, str]], name: str) -> Values:
    return next(((value,) for key, value in pairs if key.lower() == name), None)


_KEYS: dict[str, Callable[[Circumstances], Values]] = {
    "aws:currenttime": lambda here: (event_time(here.context.now),),
    "aws:epochtime": lambda here: (str(int(here.context.now)),),
    "aws:requestedregion": lambda here: (here.context.region,),
    "aws:resourceaccount": lambda here: None if here.target.key is None else (here.target.key.key.account,),
    "aws:securetransport": lambda here: _flag(here.context.secure),
    "aws:sourceip": lambda here: (here.context.source_ip,),
    "aws:tagkeys": _request_tag_keys,
    "aws:viaawsservice": lambda _here: ("false",),
    "kms:bypasspolicylockoutsafetycheck": lambda here: _flag(here.field("bypass_policy_lockout_safety_check")),
    "kms:calleraccount": lambda here: (here.context.caller.account,),
    "kms:customermasterkeyspec": _key_spec,
    "kms:customermasterkeyusage": _key_usage,
    "kms:encryptionalgorithm": _encryption_algorithm,
    "kms:encryptioncontextkeys": lambda here: tuple(_encryption_context(here)) or None,
    "kms:keyorigin": _key_origin,
    "kms:keyspec": _key_spec,
    "kms:keyusage": _key_usage,
    "kms:multiregion": _multi_region,
    "kms:multiregionkeytype": _multi_region_key_type,
    "kms:policyname": lambda here: _text(here.field("policy_name")),
    "kms:reencryptonsamekey": _re_encrypt_on_same_key,
    "kms:requestalias": lambda here: _text(here.target.alias),
    "kms:resourcealiases": _resource_aliases,
    "kms:rotationperiodindays": lambda here: _text(here.field("rotation_period_in_days")),
    "kms:schedulekeydeletionpendingwindowindays": lambda here: _text(here.field("pending_window_in_days")),
}

_FAMILIES: dict[str, Callable[[Circumstances, str], Values]] = {
    "aws:requesttag/": lambda here, name: _first(_request_tags(here), name),
    "aws:resourcetag/": _resource_tag,
    "kms:encryptioncontext:": _encryption_context_pair,
}
