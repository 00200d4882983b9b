"""Targets: the resources that a call touches, each with the IAM action that it needs permission for.

Every operation has a locator, which returns the targets of a request. The service authorizes each target in turn, then
checks the state of each key, and only then runs the operation.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from strongroom.iam import CompiledPolicy
from strongroom.keys.grants import Grant
from strongroom.keys.kms_key import KmsKey
from strongroom.operations.context import Context
from strongroom.snapshot.active_key import ActiveKey


class Target(msgspec.Struct, frozen=True):
    """One permission a call needs: ``action`` on a key, on an alias, or on ``*``.

    ``alias`` is set where the caller named the key by an alias. ``implied`` is set where only a ciphertext names the
    key. ``policy`` is the resource policy, None where the resource has none. ``retired`` is the grant that the call
    would retire. ``tags`` are those of the resource; ``claims`` are condition keys that only this target has.
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
        """The key that the permission is for: the existing one, or the one that the call would make."""
        return self.new_key if self.key is None else self.key.key

    def is_in(self, region: str) -> bool:
        """Tell whether the target is in a Region, or in none."""
        return self.subject is None or self.subject.region == region

    @property
    def named(self) -> bool:
        """Whether the target is one resource rather than the account as a whole."""
        return self.resource != "*"


Locate = Callable[[Context, Any], Sequence[Target]]


def no_resource(action: str) -> Locate:
    """Return the locator of operations on the account as a whole."""
    target = Target(action)

    def locate(_context: Context, _request: object) -> Sequence[Target]:
        return (target,)

    return locate
