"""Targets of KMS operations: the keys and aliases that requests name, and the IAM action each needs."""

from collections.abc import Sequence
from typing import Any

from strongroom.keys.arns import ALIAS_PREFIX, AliasLocator, KeyIdForms
from strongroom.keys.names import RESERVED_ALIAS_PREFIX
from strongroom.operations.context import Context
from strongroom.operations.kms.managed_keys import ensure_managed_key
from strongroom.operations.targets import Locate, Target
from strongroom.snapshot.active_key import ActiveKey


def on_key(context: Context, action: str, key_id: str, forms: KeyIdForms = KeyIdForms.ANY) -> Target:
    """Return the target of ``action`` on the key a parameter names.

    This writes, too: an AWS managed key that is needed now and does not exist is made first, because the target needs
    its policy. Raises what ``Context.find`` and ``ensure_managed_key`` raise.
    """
    if RESERVED_ALIAS_PREFIX in key_id:
        ensure_managed_key(context, action, key_id)
    return on_active(context.find(key_id, forms, action), action, key_id)


def on_active(active: ActiveKey, action: str, key_id: str) -> Target:
    """Return the target of ``action`` on a key that was found by ``key_id``."""
    alias = _alias_in(key_id)
    return Target(action, active.key.arn, active, alias, policy=active.policy, tags=active.key.tags)


def on_alias(context: Context, action: str, name: str) -> Target:
    """Return the target of ``action`` on an alias of the caller's account, existing or not."""
    return Target(action, AliasLocator(context.caller.account, context.region, name).arn)


def by_key_id(action: str, forms: KeyIdForms) -> Locate:
    """Return the locator of operations that have one key, in ``KeyId``."""

    def locate(context: Context, request: Any) -> Sequence[Target]:  # noqa: ANN401 - any request with a key_id
        return (on_key(context, action, request.key_id, forms),)

    return locate


def _alias_in(key_id: str) -> str | None:
    if key_id.startswith(ALIAS_PREFIX):
        return key_id
    _, separator, name = key_id.partition(f":{ALIAS_PREFIX}")
    return ALIAS_PREFIX + name if separator else None
