"""Reads published test vectors; see tests/vectors/published/README.md."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import load_der_public_key

PUBLISHED = Path(__file__).parents[1] / "vectors" / "published"

Key = TypeVar("Key")


class Vector(msgspec.Struct, frozen=True):
    """One test vector: its expected result, flags, byte strings, and key."""

    id: int
    result: str
    flags: list[str]
    values: dict[str, bytes]
    key: dict[str, Any]

    @property
    def valid(self) -> bool:
        """Whether the expected result is ``valid``. ``acceptable`` counts as invalid."""
        return self.result == "valid"


def vectors(*names: str) -> pytest.MarkDecorator:
    """Parametrize a test with ``vector``, over every vector of the files; raises AssertionError for an empty file."""
    found = [pytest.param(vector, id=f"{name}-{vector.id}") for name in names for vector in load(name)]
    return pytest.mark.parametrize("vector", found)


def load(name: str) -> Iterator[Vector]:
    """Yield the vectors of a file; raises AssertionError if there are none."""
    document = json.loads((PUBLISHED / f"{name}.json").read_text())
    assert document["tests"], f"{name} holds no vectors"
    for test in document["tests"]:
        values = {field: base64.b64decode(value) for field, value in test["values"].items()}
        key = document["keys"][test["key"]] if document["keys"] else {}
        yield Vector(test["id"], test["result"], test["flags"], values, key)


def with_public_key(key: Key, spki: bytes) -> Key:
    """Replace the public key of a backing key by a vector's; vectors for Verify have no private key."""
    assert hasattr(key, "_public")
    key._public = load_der_public_key(spki)
    return key
