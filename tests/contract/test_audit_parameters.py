"""Members that botocore's model marks as sensitive are in no audit record, at any depth of a request."""

from collections.abc import Iterator
from typing import Any

import pytest

from model_differences import model_of
from strongroom.audit.parameters import lower_camel
from strongroom.operations.kms.table import TABLE

MODEL = model_of("kms")


class Anything:
    """Represents a request, and any member of it."""

    def __getattr__(self, _name: str) -> "Anything":
        return self

    def __iter__(self) -> Iterator["Anything"]:
        return iter((self,))


def recorded(parameters: Any, path: str = "") -> Iterator[str]:
    """Yield the path of every value in a record."""
    if isinstance(parameters, list):
        parameters = parameters[0]
    if not isinstance(parameters, dict):
        yield path
        return
    for name, value in parameters.items():
        yield from recorded(value, f"{path}.{name}")


def sensitive(shape: Any, path: str = "") -> Iterator[str]:
    """Yield the path of every sensitive member and blob in a shape."""
    if shape.type_name == "list":
        yield from sensitive(shape.member, path)
    elif shape.type_name == "structure":
        for name, member in shape.members.items():
            yield from sensitive(member, f"{path}.{lower_camel(name)}")
    elif shape.metadata.get("sensitive") or shape.type_name == "blob":
        yield path


@pytest.mark.parametrize("name", sorted(TABLE))
def test_nothing_sensitive_is_recorded(name: str) -> None:
    found = set(recorded(TABLE[name].parameters(Anything())))  # type: ignore[arg-type]  # it reads attributes only
    assert not found & set(sensitive(MODEL.operation_model(name).input_shape))
