"""Makes and checks the message authentication codes of rows, with a key that the store never sees."""

from typing import Protocol


class RowAuthenticator(Protocol):
    """Authenticates messages of rows; see ``sql.row_macs`` for what a message is."""

    @property
    def version(self) -> int:
        """The version of the key that codes are made with; 0 without a key."""
        ...

    def require(self, version: int) -> bool:
        """Make codes with this version of the key from now on; return False if it is not known."""
        ...

    def mac(self, message: bytes) -> bytes:
        """Return the code of a message."""
        ...

    def verifies(self, message: bytes, mac: bytes) -> bool:
        """Return whether a code was made here for a message. Any other bytes are no code."""
        ...
