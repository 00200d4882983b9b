"""Changes rows of a served database behind the back of its server, and expects the refusals that follow."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from botocore.exceptions import ClientError


def change(data: Path, statement: str, *values: object, log: tuple[str, str] | None = None) -> None:
    """Change rows with sqlite3, and have running servers read them again by an entry in the change log."""
    with closing(sqlite3.connect(data / "strongroom.db", timeout=60)) as connection, connection:
        assert connection.execute(statement, values).rowcount == 1
        if log is not None:
            region = "us-east-1" if log[0] in {"key", "alias", "grant"} else ""
            row = (log[0], "000000000000", region, log[1])
            connection.execute("INSERT INTO change (kind, account, region, name) VALUES (?, ?, ?, ?)", row)


def refused(call: Callable[..., object], *, code: str = "KMSInvalidStateException", **arguments: object) -> str:
    """Expect the refusal of a quarantined record; return its message."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    error = caught.value.response
    assert error["Error"]["Code"] == code, error
    assert error["ResponseMetadata"]["HTTPStatusCode"] in {400, 403}
    assert error["ResponseMetadata"].get("RetryAttempts", 0) == 0
    return str(error["Error"]["Message"])
