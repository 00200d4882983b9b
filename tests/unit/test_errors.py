"""The base of all errors: its message is bounded."""

from strongroom.errors import MAX_MESSAGE, ValidationException


def test_a_long_message_is_cut() -> None:
    for length in (1, MAX_MESSAGE):
        assert ValidationException("x" * length).message == "x" * length
    cut = ValidationException("x" * (MAX_MESSAGE + 1))
    assert cut.message == str(cut) == "x" * (MAX_MESSAGE - 3) + "..."
    assert ValidationException(None).message is None
