"""The vectors of the self-tests. ``tests/support/self_test_vectors.py`` chose them from published ones."""

from importlib.resources import files

import msgspec


class Vector(msgspec.Struct, frozen=True):
    """One vector: the file it was published in, its number there, and its byte strings by name."""

    source: str
    id: int
    values: dict[str, bytes]

    def __getitem__(self, name: str) -> bytes:
        """Return the byte string of that name."""
        return self.values[name]


def read_vectors() -> dict[str, Vector]:
    """Return the vectors by the names of the self-tests; raises OSError, msgspec.DecodeError if the file is damaged."""
    content = files("strongroom.crypto.self_tests").joinpath("vectors.json").read_bytes()
    return msgspec.json.decode(content, type=dict[str, Vector])
