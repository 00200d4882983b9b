"""What the conditions of a policy can ask about a request: one typed record for the requests of all services.

A request type fills in the parameters that it carries (``Request.condition_parameters``), and
``operations/condition_keys.py`` reads them. A type checker sees both sides, so a field cannot be renamed on one of them
alone. A parameter is None where the request type has no such member, or the caller left it out.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from strongroom.keys.grants import Constraints


class GrantTerms(Protocol):
    """The constraints of a grant as a request states them."""

    def terms(self) -> Constraints:
        """Return the constraints as they are kept; raises ValidationException for contexts that are too large."""
        ...


class GrantParameters(msgspec.Struct, frozen=True, kw_only=True):
    """The grant in a request of CreateGrant."""

    operations: Sequence[str]
    grantee_principal: str | None
    grantee_service_principal: str | None
    retiring_principal: str | None
    retiring_service_principal: str | None
    constraints: GrantTerms | None


class ConditionParameters(msgspec.Struct, frozen=True, kw_only=True):
    """The members of one request that condition keys read.

    ``tags`` are the pairs of key and value that the request puts on a resource. ``tag_keys`` are the keys of the tags
    that it removes. ``valid_to`` is in epoch seconds.
    """

    tags: Sequence[tuple[str, str]] = ()
    tag_keys: Sequence[str] | None = None
    # Requests that make or change a KMS key.
    key_spec: str | None = None
    key_usage: str | None = None
    key_origin: str | None = None
    multi_region: bool | None = None
    replica_region: str | None = None
    primary_region: str | None = None
    policy_name: str | None = None
    bypass_policy_lockout_safety_check: bool | None = None
    rotation_period_in_days: int | None = None
    pending_window_in_days: int | None = None
    expiration_model: str | None = None
    valid_to: float | None = None
    wrapping_algorithm: str | None = None
    wrapping_key_spec: str | None = None
    grant: GrantParameters | None = None
    # Requests that use a KMS key.
    encryption_algorithm: str | None = None
    data_key_pair_spec: str | None = None
    message_type: str | None = None
    signing_algorithm: str | None = None
    mac_algorithm: str | None = None
    encapsulation_algorithm: str | None = None
    key_agreement_algorithm: str | None = None
    # Requests to IAM and STS.
    permissions_boundary: str | None = None
    policy_arn: str | None = None
    external_id: str | None = None
    role_session_name: str | None = None
    source_identity: str | None = None


NO_PARAMETERS = ConditionParameters()
"""The record of a request that has nothing condition keys read."""


class TagShape(Protocol):
    """A tag in the form of any service."""

    @property
    def pair(self) -> tuple[str, str]:
        """Key and value."""
        ...


def tag_pairs(tags: Sequence[TagShape] | None) -> Sequence[tuple[str, str]]:
    """Return the tags of a request as pairs of key and value."""
    return tuple(tag.pair for tag in tags or ())
