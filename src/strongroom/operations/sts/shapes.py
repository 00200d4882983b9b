"""Types shared by STS's requests and responses."""

from typing import Annotated

import msgspec
from msgspec import Meta
from typing_extensions import override

from strongroom.operations.shapes import at_most, matching

RoleSessionName = Annotated[str, Meta(min_length=2, max_length=64), matching(r"[\w+=,.@-]*")]
RoleArn = Annotated[
    str,
    Meta(min_length=20, max_length=2048),
    # The model's own pattern means astral characters by what its \u notation cannot say.
    matching(
        r"[\u0009\u000A\u000D\u0020-\u007E\u0085\u00A0-\uD7FF\uE000-\uFFFD\u10000-\u10FFFF]+",
        r"[\u0009\u000A\u000D\u0020-\u007E\u0085\u00A0-\uD7FF\uE000-\uFFFD]+",
    ),
]
SourceIdentity = Annotated[str, Meta(min_length=2, max_length=64), matching(r"[\w+=,.@-]*")]
RoleDuration = Annotated[int, Meta(ge=900, le=43200)]
MinimumTokenSize = Annotated[int, Meta(ge=0, le=4096)]


class PolicyDescriptor(msgspec.Struct, frozen=True):
    """A managed policy that limits a session."""

    arn: RoleArn | None = None


# More than ten are refused with a message of their own.
PolicyArns = Annotated[list[PolicyDescriptor], at_most(100)]


class Credentials(msgspec.Struct, rename="pascal", frozen=True):
    """A temporary access key with its secret and session token."""

    access_key_id: str
    secret_access_key: str
    session_token: str
    expiration: float

    @override
    def __repr__(self) -> str:
        return f"Credentials({self.access_key_id})"


class AssumedRoleUser(msgspec.Struct, rename="pascal", frozen=True):
    """A session of a role, as a principal."""

    assumed_role_id: str
    arn: str
