"""How an operation's targets are found: which resources it touches, and which IAM action each needs.

Every operation has one locator here or beside itself. The service authorizes each target in turn, then checks the state
of each key, and only then runs the operation.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from strongroom.iam import CompiledPolicy
from strongroom.keys.arns import ALIAS_PREFIX, AliasLocator, KeyIdForms
from strongroom.keys.grants import Grant
from strongroom.keys.kms_key import KmsKey
from strongroom.operations.context import Context
from strongroom.operations.managed_keys import ensure_managed_key
from strongroom.snapshot.active_key import ActiveKey


class Target(msgspec.Struct, frozen=True):
    """One permission a call needs: ``action`` on a key, on an alias, or on ``*``.

    ``alias`` is set where the caller named the key by one. ``implied`` is set where only a ciphertext names the key.
    ``policy`` is the resource policy that governs; a key's own unless another is given. ``retired`` is the grant that
    the call would retire. ``tags`` are those of the resource, ``claims`` condition keys that only this target has.
    ``new_key`` is the replica that the call would make, in its Region.
    """

    action: str
    resource: str = "*"
    key: ActiveKey | None = None
    alias: str | None = None
    implied: bool = False
    policy: CompiledPolicy | None = None
    retired: Grant | None = None
    tags: Sequence[tuple[str, str]] = ()
    claims: Mapping[str, tuple[str, ...]] = {}
    new_key: KmsKey | None = None

    @property
    def subject(self) -> KmsKey | None:
        """The key that the permission is about, there already or as it would be made."""
        return self.new_key if self.key is None else self.key.key

    def is_in(self, region: str) -> bool:
        """Tell whether the target is not in another Region."""
        return self.subject is None or self.subject.region == region

    @property
    def named(self) -> bool:
        """Whether the target is one resource, not the account as a whole."""
        return self.resource != "*"


Locate = Callable[[Context, Any], Sequence[Target]]


def on_key(context: Context, action: str, key_id: str, forms: KeyIdForms = KeyIdForms.ANY) -> Target:
    """Return the target of ``action`` on the key a parameter names; raises what ``Context.find`` raises."""
    ensure_managed_key(context, action, key_id)
    return on_active(context.find(key_id, forms), action, key_id)


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


def no_resource(action: str) -> Locate:
    """Return the locator of operations on the account as a whole."""
    target = Target(action)

    def locate(_context: Context, _request: object) -> Sequence[Target]:
        return (target,)

    return locate


def _alias_in(key_id: str) -> str | None:
    if key_id.startswith(ALIAS_PREFIX):
        return key_id
    _, separator, name = key_id.partition(f":{ALIAS_PREFIX}")
    return ALIAS_PREFIX + name if separator else None
