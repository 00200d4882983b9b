"""Calls through boto3 that must fail, and the errors they return."""

from typing import Any

import pytest
from botocore.exceptions import ClientError


def error_of(call: Any, /, **arguments: Any) -> dict[str, str]:
    """Make a call that must fail with HTTP status 400; return its error code and message."""
    return error_with_status(400, call, **arguments)


def error_with_status(status: int, call: Any, /, **arguments: Any) -> dict[str, str]:
    """Make a call that must fail with this HTTP status; return its error code and message."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    error = caught.value.response["Error"]
    return {"Code": error["Code"], "Message": error.get("Message", "")}


def error_code_of(call: Any, /, **arguments: Any) -> str:
    """Make a call that must fail with HTTP status 400; return its error code."""
    return error_of(call, **arguments)["Code"]
