"""Memory is locked where that is allowed, and not half locked where there is a limit."""

import subprocess
import sys

LOCK = """
import resource, sys
limit = int(sys.argv[1])
if limit >= 0:
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (limit, limit))
if sys.argv[2] == "another user":
    import os
    os.setresuid(65534, 65534, 65534)
from strongroom.supervisor.hardening import lock_memory
refused = lock_memory()
held = [bytearray(1 << 20) for _ in range(32)]
locked = next(line for line in open("/proc/self/status") if line.startswith("VmLck"))
print(refused, int(locked.split()[1]) > 0, len(held), sep="|")
"""


def lock(limit: int, user: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", LOCK, str(limit), user], capture_output=True, text=True, check=True, timeout=30
    )
    return done.stdout.strip().split("|")


def test_root_locks_all_its_memory() -> None:
    refused, locked, _ = lock(-1, "root")
    assert (refused == "None") is (locked == "True")
    if refused != "None":
        assert refused.startswith(("the limit is", "Operation not permitted"))


def test_with_a_limit_nothing_is_locked_and_memory_can_still_be_had() -> None:
    refused, locked, blocks = lock(8 << 20, "another user")
    assert (refused, locked, blocks) == ("the limit is 8192 KiB", "False", "32")
