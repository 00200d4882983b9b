"""Runs the conformance tests on PostgreSQL: ``--store postgresql``, with ``--nodes N`` servers that share a database.

Each pytest process has a database server of its own. The fixture ``serving`` starts servers as the options say; what a
test starts by itself is over SQLite all the same, so tests that have no server from that fixture are left out. Tests
that cannot run otherwise are marked ``sqlite`` or ``one_node``, with the reason.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from accounts import settings_of
from local_server import RunningServer, running_server
from nodes import nodes_of, running_nodes
from postgresql import Cluster

Serving = Callable[..., AbstractContextManager[RunningServer]]
"""Starts a server: its data folder, the file for its log, and the options of ``strongroom serve``."""

_MARKERS = (
    "sqlite(reason): the test is about a deployment in one data folder",
    "one_node(reason): the test needs to know which server answers",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    parser.addoption(
        "--store", choices=("sqlite", "postgresql"), default="sqlite", help="where servers keep their state"
    )
    parser.addoption("--nodes", type=int, default=1, help="how many servers share a PostgreSQL database")


def pytest_configure(config: pytest.Config) -> None:
    """Have the markers known."""
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, or skip, what cannot run on PostgreSQL, or on several nodes."""
    if config.getoption("store") == "sqlite":
        return
    without = [item for item in items if "serving" not in getattr(item, "fixturenames", ())]
    items[:] = [item for item in items if item not in without]
    config.hook.pytest_deselected(items=without)
    names = ["sqlite", *(["one_node"] if config.getoption("nodes") > 1 else [])]
    for item in items:
        for marker in filter(None, map(item.get_closest_marker, names)):
            item.add_marker(pytest.mark.skip(reason=str(marker.args[0])))


@pytest.fixture(scope="session")
def serving(request: pytest.FixtureRequest) -> Serving:
    """Return what starts servers as the options say."""
    if request.config.getoption("store") == "sqlite":
        return running_server
    cluster: Cluster = request.getfixturevalue("postgresql")
    count: int = request.config.getoption("nodes")

    @contextmanager
    def serving_nodes(data: Path, log: Path, *options: str) -> Iterator[RunningServer]:
        with cluster.scratch() as database, running_nodes(nodes_of(cluster, database, data, count, *options)) as nodes:
            settings_of[data] = nodes[0].environment
            yield nodes.everywhere
            log.write_text("".join(each.read_text() for node in nodes for each in node.logs))

    return serving_nodes
