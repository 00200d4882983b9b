"""Random bytes from the operating system."""

from strongroom.entropy import Entropy


class SoftwareRandomSource:
    """The operating system's random number generator."""

    def __init__(self, entropy: Entropy) -> None:
        self._entropy = entropy

    def random_bytes(self, length: int) -> bytes:
        """Return ``length`` random bytes."""
        return self._entropy(length)
