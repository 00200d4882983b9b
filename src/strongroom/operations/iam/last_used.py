"""When users and roles last used a service, as far as reports look back.

Source: IAM User Guide, "Refine permissions using last accessed information": the tracking period is 400 days.
"""

from collections.abc import Sequence

from strongroom.iam.entities import Role
from strongroom.operations.iam.shapes import NEVER_USED, RoleLastUsed
from strongroom.store.records import PrincipalUse
from strongroom.store.subjects.reports import ReportReader

_TRACKED_SECONDS = 400 * 86400.0


def uses_of(reader: ReportReader, unique_ids: Sequence[str], now: float) -> list[PrincipalUse]:
    """Return the last use of each service by each of these users and roles in the tracking period, latest first."""
    recent = [use for use in reader.principal_uses(unique_ids) if now - use.used_at <= _TRACKED_SECONDS]
    return sorted(recent, key=lambda use: (-use.used_at, use.unique_id, use.service))


def role_last_used(reader: ReportReader, role: Role, now: float) -> RoleLastUsed:
    """Return when a session of a role last made a call, to any service."""
    uses = uses_of(reader, (role.unique_id,), now)
    return RoleLastUsed(uses[0].used_at, uses[0].region) if uses else NEVER_USED
