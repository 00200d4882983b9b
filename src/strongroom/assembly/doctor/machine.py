"""Checks of what lies under the server: the cryptographic libraries, and the memory of its processes."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from strongroom.assembly.doctor.results import Finding, critical, ok, warning
from strongroom.assembly.doctor.scene import Scene
from strongroom.crypto.module import cryptographic_module
from strongroom.crypto.self_tests.run import SELF_TESTS, SelfTestError, run_self_tests

_PROC = Path("/proc")


def check_cryptography(scene: Scene) -> Iterator[Finding]:
    """Run the self-tests, and find out which cryptographic module computes."""
    module = cryptographic_module()
    try:
        run_self_tests()
    except SelfTestError as error:
        yield critical(str(error), "install strongroom again, and check the configuration of OpenSSL")
        return
    if scene.settings.fips and not module.hashes_by_openssl:
        yield critical("Python does not hash with OpenSSL, as `fips` demands", "use a Python that has `_hashlib`")
    yield ok(f"{len(SELF_TESTS)} self-tests pass; {module.described()}")


def check_memory(scene: Scene) -> Iterator[Finding]:
    """Find out whether the keys in the memory of a running server can get to swap space."""
    swaps = _lines(_PROC / "swaps")[1:]
    processes = _processes(scene) if scene.is_served else []
    unlocked = [process for process in processes if not _locked(process)]
    if unlocked and swaps:
        yield warning(
            f"{len(unlocked)} of {len(processes)} processes of the server can be swapped to {swaps[0].split()[0]}, "
            "with the keys in their memory",
            "allow them to lock memory (LimitMEMLOCK=infinity in systemd, --ulimit memlock=-1 for a container), or "
            "turn swap off",
        )
    elif not swaps:
        yield ok("this machine has no swap space")
    elif processes:
        yield ok("the server has locked its memory")
    else:
        yield ok("no server runs here whose memory could be swapped")


def _processes(scene: Scene) -> list[int]:
    """Return the ids of the processes of the server: the one that has locked the data folder, and its workers."""
    status = scene.folder.path.stat()
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    holders = [int(fields[4]) for line in _lines(_PROC / "locks") if place in (fields := line.split())]
    return [each for holder in dict.fromkeys(holders) for each in (holder, *_children(holder))]


def _children(process: int) -> list[int]:
    return [int(each) for line in _lines(_PROC / f"{process}/task/{process}/children") for each in line.split()]


def _locked(process: int) -> bool:
    """Tell whether a process has locked its memory; one that has ended meanwhile has none."""
    for line in _lines(_PROC / f"{process}/status"):
        if line.startswith("VmLck:"):
            return int(line.split()[1]) > 0
    return True


def _lines(path: Path) -> list[str]:
    with suppress(OSError):
        return path.read_text(encoding="ascii", errors="replace").splitlines()
    return []
