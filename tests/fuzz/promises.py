"""What every target promises of its refusals."""

from strongroom.errors import KmsError


def require_refusal(error: KmsError) -> None:
    """Raise AssertionError for an error that blames the server: bad input is the client's mistake."""
    assert error.status < 500, f"{error.code}: {error.message}"
