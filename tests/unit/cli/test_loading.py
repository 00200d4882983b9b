"""What processes load when they start, and how."""

import gc
import subprocess
import sys

import pytest

from strongroom.cli.loading import without_garbage_collection
from strongroom.supervisor.process_slot import AGENT, EVENT_SENDER, SHIPPER, worker


def test_processes_of_servers_do_not_load_the_commands() -> None:
    modules = ["strongroom.cli.dev", *(role.module for role in (AGENT, EVENT_SENDER, SHIPPER, worker(1)))]
    told = f"import sys, {', '.join(modules)}; print('strongroom.cli.main' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_what_is_loaded_is_passed_over_by_garbage_collections() -> None:
    before = gc.get_freeze_count()
    with without_garbage_collection():
        assert not gc.isenabled()
        loaded: list[object] = [[]]
    assert gc.isenabled()
    assert gc.get_freeze_count() > before
    assert not any(each is loaded for each in gc.get_objects())


def test_garbage_is_collected_after_a_module_that_cannot_be_loaded() -> None:
    with pytest.raises(MemoryError), without_garbage_collection():
        raise MemoryError
    assert gc.isenabled()
