"""What conformance tests share."""

from typing import Any

import pytest
from botocore.exceptions import ClientError


def refusal_of(call: Any, /, **arguments: Any) -> dict[str, str]:
    """Make a call that must be refused with a 400; return its code and message."""
    return refused_with(400, call, **arguments)


def refused_with(status: int, call: Any, /, **arguments: Any) -> dict[str, str]:
    """Make a call that must be refused with this HTTP status; return its code and message."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    error = caught.value.response["Error"]
    return {"Code": error["Code"], "Message": error.get("Message", "")}


def code_of(call: Any, /, **arguments: Any) -> str:
    """Make a call that must be refused with a 400; return its code."""
    return refusal_of(call, **arguments)["Code"]
