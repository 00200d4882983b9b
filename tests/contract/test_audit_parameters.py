"""What botocore's model calls sensitive is in no audit record, however deep in a request it stands."""

from collections.abc import Iterator
from typing import Any

import pytest

from model_differences import model_of
from strongroom.audit.parameters import lower_camel
from strongroom.operations.kms.table import TABLE

MODEL = model_of("kms")


class Anything:
    """Stands for a request, and for whatever is in it."""

    def __getattr__(self, _name: str) -> "Anything":
        return self

    def __iter__(self) -> Iterator["Anything"]:
        return iter((self,))


def recorded(parameters: Any, path: str = "") -> Iterator[str]:
    """Yield where a record has a value."""
    if isinstance(parameters, list):
        parameters = parameters[0]
    if not isinstance(parameters, dict):
        yield path
        return
    for name, value in parameters.items():
        yield from recorded(value, f"{path}.{name}")


def sensitive(shape: Any, path: str = "") -> Iterator[str]:
    """Yield where the model has a sensitive value."""
    if shape.type_name == "list":
        yield from sensitive(shape.member, path)
    elif shape.type_name == "structure":
        for name, member in shape.members.items():
            yield from sensitive(member, f"{path}.{lower_camel(name)}")
    elif shape.metadata.get("sensitive") or shape.type_name == "blob":
        yield path


@pytest.mark.parametrize("name", sorted(TABLE))
def test_nothing_sensitive_is_recorded(name: str) -> None:
    found = set(recorded(TABLE[name].parameters(Anything())))  # type: ignore[arg-type]  # it looks at attributes only
    assert not found & set(sensitive(MODEL.operation_model(name).input_shape))
