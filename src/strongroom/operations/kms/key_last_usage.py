"""GetKeyLastUsage: the last successful cryptographic operation with a key."""

import msgspec

from strongroom.operations.context import Context
from strongroom.operations.kms.keys import KeyRequest
from strongroom.operations.shapes import Response
from strongroom.snapshot.active_key import ActiveKey


class KeyLastUsageData(msgspec.Struct, rename="pascal", frozen=True, omit_defaults=True):
    """The last use; empty if there was none."""

    operation: str | None = None
    timestamp: float | None = None
    cloud_trail_event_id: str | None = None
    kms_request_id: str | None = None


class GetKeyLastUsageResponse(Response):
    """The response of GetKeyLastUsage."""

    key_id: str
    key_last_usage: KeyLastUsageData
    tracking_start_date: float
    key_creation_date: float


def get_key_last_usage(context: Context, _request: KeyRequest, active: ActiveKey) -> GetKeyLastUsageResponse:
    """Return the time and operation of a key's last use, and the id of its record in the audit log."""
    key = active.key
    use = context.backends.key_uses.last(key.locator)
    return GetKeyLastUsageResponse(
        key_id=key.key_id,
        key_last_usage=KeyLastUsageData()
        if use is None
        else KeyLastUsageData(use.operation, use.used_at, use.event_id, use.request_id),
        # Uses of a key are noted from its creation on.
        tracking_start_date=key.created_at,
        key_creation_date=key.created_at,
    )
