"""Published test vectors: see tests/vectors/published/README.md."""

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
    """One vector: what its source says of it, its byte strings, and those of its key."""

    id: int
    result: str
    flags: list[str]
    values: dict[str, bytes]
    key: dict[str, Any]

    @property
    def valid(self) -> bool:
        """Whether the source calls it valid. Nothing between valid and invalid is accepted here."""
        return self.result == "valid"


def vectors(*names: str) -> pytest.MarkDecorator:
    """Return the parameter ``vector`` of a test: every vector of the files, each of which must hold some."""
    found = [pytest.param(vector, id=f"{name}-{vector.id}") for name in names for vector in load(name)]
    return pytest.mark.parametrize("vector", found)


def load(name: str) -> Iterator[Vector]:
    """Yield the vectors of a file; it is an error if there are none."""
    document = json.loads((PUBLISHED / f"{name}.json").read_text())
    assert document["tests"], f"{name} holds no vectors"
    for test in document["tests"]:
        values = {field: base64.b64decode(value) for field, value in test["values"].items()}
        key = document["keys"][test["key"]] if document["keys"] else {}
        yield Vector(test["id"], test["result"], test["flags"], values, key)


def with_public_key(key: Key, spki: bytes) -> Key:
    """Return a backing key whose public key is a vector's: a vector to verify comes without the private key."""
    assert hasattr(key, "_public")
    key._public = load_der_public_key(spki)
    return key
