"""ScheduleKeyDeletion and CancelKeyDeletion. The deletion itself happens in ``maintenance.key_deletion``."""

from collections.abc import Mapping, Sequence

from typing_extensions import override

from strongroom.keys import lifecycle, multi_region
from strongroom.keys.states import KeyState
from strongroom.operations.condition_parameters import ConditionParameters
from strongroom.operations.context import Context
from strongroom.operations.kms.key_changes import modify
from strongroom.operations.kms.keys import KeyIdResponse, KeyRequest
from strongroom.operations.shapes import PendingWindowInDays, Response
from strongroom.operations.targets import Target
from strongroom.snapshot.active_key import ActiveKey


class ScheduleKeyDeletionRequest(KeyRequest):
    """The request of ScheduleKeyDeletion; the waiting period is 7 to 30 days."""

    pending_window_in_days: PendingWindowInDays = lifecycle.DEFAULT_DELETION_WINDOW_DAYS

    @override
    def condition_parameters(self, action: str) -> ConditionParameters:
        return ConditionParameters(pending_window_in_days=self.pending_window_in_days)


class ScheduleKeyDeletionResponse(Response):
    """The response of ScheduleKeyDeletion. A primary that waits for its replicas has no deletion date yet."""

    key_id: str
    key_state: KeyState
    pending_window_in_days: int
    deletion_date: float | None = None


def schedule_key_deletion(
    context: Context, request: ScheduleKeyDeletionRequest, active: ActiveKey
) -> ScheduleKeyDeletionResponse:
    """Start the waiting period, in which the key cannot be used and the deletion can be cancelled.

    The waiting period of a multi-Region primary starts when the last of its replicas is deleted. A wall clock that was
    set back does not shorten it.
    """
    window = request.pending_window_in_days
    begin = context.backends.latest_time(context.now)
    key = modify(context, active, lambda key: multi_region.schedule_deletion(key, window, begin))
    return ScheduleKeyDeletionResponse(
        key_id=key.arn,
        deletion_date=key.deletion_at,
        key_state=key.state,
        pending_window_in_days=window,
    )


def cancel_key_deletion(context: Context, _request: KeyRequest, active: ActiveKey) -> KeyIdResponse:
    """End the waiting period; the key comes back disabled."""
    return KeyIdResponse(key_id=modify(context, active, lifecycle.cancel_deletion).arn)


def schedule_key_deletion_elements(
    response: ScheduleKeyDeletionResponse, _targets: Sequence[Target]
) -> Mapping[str, object]:
    """Return what CloudTrail shows of a scheduled deletion."""
    dated = {} if response.deletion_date is None else {"deletionDate": response.deletion_date}
    return {
        "keyId": response.key_id,
        "keyState": response.key_state,
        **dated,
        "pendingWindowInDays": response.pending_window_in_days,
    }
