"""Key back ends of full depth for the tests of a folder, with two kinds of tokens."""

from collections.abc import Iterator
from typing import cast

import pytest

from full_depth import FullDepth, Module, full_depth

MODULES: tuple[Module, ...] = ("softhsm", "nss")


@pytest.fixture(params=MODULES)
def module(request: pytest.FixtureRequest) -> Module:
    return cast("Module", request.param)


@pytest.fixture
def depth(module: Module) -> Iterator[FullDepth]:
    """Return a key back end whose Regions have one domain key, of full depth."""
    with full_depth(module) as made:
        yield made


@pytest.fixture
def shallow(module: Module) -> Iterator[FullDepth]:
    """Return a key back end that has no domain keys yet."""
    with full_depth(module, new=False) as made:
        yield made


@pytest.fixture
def softhsm_depth() -> Iterator[FullDepth]:
    with full_depth("softhsm") as made:
        yield made
