"""How an operation's targets are found: which resources it touches, and which IAM action each needs.

Every operation has one locator here or beside itself. The service authorizes each target in turn, then checks the state
of each key, and only then runs the operation.
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


def no_resource(action: str) -> Locate:
    """Return the locator of operations on the account as a whole."""
    target = Target(action)

    def locate(_context: Context, _request: object) -> Sequence[Target]:
        return (target,)

    return locate
