"""Makes and checks the message authentication codes of rows, with a key that the store never sees."""

from typing import Protocol


class RowAuthenticator(Protocol):
    """Authenticates messages of rows; see ``sql.row_macs`` for what a message is."""

    def mac(self, message: bytes) -> bytes:
        """Return the code of a message."""
        ...

    def verifies(self, message: bytes, mac: bytes) -> bool:
        """Return whether a code was made here for a message. Any other bytes are no code."""
        ...
