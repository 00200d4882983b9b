"""The table of STS: one row per action."""

from strongroom.operations.lanes import Placement
from strongroom.operations.operation import Operation
from strongroom.operations.sts import assume_role, caller
from strongroom.operations.sts.sessions import credentials_elements
from strongroom.operations.targets import no_resource

_ROWS = (
    Operation(
        "AssumeRole",
        assume_role.AssumeRoleRequest,
        assume_role.assume_role,
        locate=assume_role.locate_assume_role,
        placement=Placement.READING,
        elements=assume_role.assume_role_elements,
        service="sts",
    ),
    Operation(
        "AssumeRoleWithWebIdentity",
        assume_role.AssumeRoleWithWebIdentityRequest,
        assume_role.assume_role_with_web_identity,
        locate=assume_role.locate_assume_role_with_web_identity,
        placement=Placement.READING,
        elements=assume_role.assume_role_elements,
        service="sts",
    ),
    Operation(
        "GetCallerIdentity",
        caller.GetCallerIdentityRequest,
        caller.get_caller_identity,
        locate=caller.no_permission,
        service="sts",
    ),
    Operation(
        "GetSessionToken",
        caller.GetSessionTokenRequest,
        caller.get_session_token,
        locate=caller.no_permission,
        placement=Placement.READING,
        elements=credentials_elements,
        service="sts",
    ),
    Operation(
        "GetAccessKeyInfo",
        caller.GetAccessKeyInfoRequest,
        caller.get_access_key_info,
        locate=no_resource("sts:GetAccessKeyInfo"),
        placement=Placement.READING,
        service="sts",
    ),
)

STS_TABLE: dict[str, Operation] = {row.name: row for row in _ROWS}
"""Action name → row."""

UNSIGNED = frozenset({"AssumeRoleWithWebIdentity"})
"""Actions without a signature: the body has a token that authenticates the caller."""
