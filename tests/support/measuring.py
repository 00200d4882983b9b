"""Leaves out of a run under coverage what would take much time and find nothing.

Tracing doubles the time of all Python code of a process, ours or not. So in ``conformance``, where tests call servers
with the clients of AWS, only the processes that tests start are measured. In ``crash``, ``faults`` and ``overload``
nothing is: many processes there are killed before they could write what was measured, and others run the same code.
The thousands of examples of ``properties``, and of the state matrix, run code that other tests run too.
"""

import os
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from coverage import Coverage

from programs import COVERAGE

_TESTS = Path(__file__).parents[1]
_UNMEASURED = {"crash", "faults", "overload"}
"""Where no process is measured."""
_UNTRACED = {*_UNMEASURED, "conformance", "properties", "contract/test_matrix.py"}
"""Where the process of the tests is not measured: folders and files."""


def pytest_sessionstart(session: pytest.Session) -> None:
    """Do not measure the process that only hands tests out."""
    measuring = Coverage.current()
    if measuring and session.config.getoption("numprocesses", None) and not hasattr(session.config, "workerinput"):
        measuring.stop()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Run a test, with its fixtures, as much measured as its folder tells."""
    try:
        path = item.path.relative_to(_TESTS)
    except ValueError:
        return (yield)
    with ExitStack() as ending:
        if {path.parts[0], str(path)} & _UNTRACED:
            ending.enter_context(_untraced())
        if path.parts[0] in _UNMEASURED:
            ending.enter_context(_unmeasured_processes())
        return (yield)


@contextmanager
def _untraced() -> Iterator[None]:
    measuring = Coverage.current()
    if measuring is None:
        yield
        return
    measuring.stop()
    try:
        yield
    finally:
        measuring.start()


@contextmanager
def _unmeasured_processes() -> Iterator[None]:
    kept = {name: os.environ.pop(name) for name in COVERAGE if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)
