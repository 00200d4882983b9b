"""Looks for secrets in the memory of processes and in files, as one with a memory image or a copied folder would."""

import base64
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from hmac_states import padded_keys, states_after
from local_server import RunningServer
from server_processes import children_of

_REGION = re.compile(r"([0-9a-f]+)-([0-9a-f]+) rw")
"""What was never written has no secrets: programs and their libraries."""
_CHUNK = 1 << 16
_PART = 16
"""A secret is found by either half: a buffer that was used again may have a part only."""


def traces_of(secret: bytes) -> set[bytes]:
    """Return what is looked for: parts of a key of 32 bytes in its own bytes, in hexadecimal digits and in Base64.

    From the states of SHA-256 that HMAC keeps one computes as with the key, so these are looked for as well.
    """
    parts = {part for form in (secret, *padded_keys(secret), *states_after(secret)) for part in _parts(form[:32])}
    encoded = base64.b64encode(secret)
    # The last characters of Base64 depend on what follows.
    return {*parts, *(part.hex().encode() for part in _parts(secret)), encoded[:20], encoded[20:40]}


def _parts(form: bytes) -> list[bytes]:
    return [form[:_PART], form[_PART:]]


def processes_with(server: RunningServer, secret: bytes) -> list[int]:
    """Return which processes of a server have a part of a secret in their memory.

    Skips the test if the kernel shows the memory of the server to root alone.
    """
    supervisor = server.process.pid
    processes = [supervisor, *children_of(supervisor)]
    if not all(os.access(f"/proc/{each}/mem", os.R_OK) for each in processes):
        # The server is not dumpable. No package changes that.
        pytest.skip("the server hides its memory from all but root; as root, this test runs")
    return [each for each in processes if _has(_memory_of(each), traces_of(secret))]


def files_with(folder: Path, secret: bytes) -> list[Path]:
    """Return which files below a folder have a part of a secret in them."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if _has([path.read_bytes()], traces_of(secret))]


def _has(memory: Iterable[bytes], traces: set[bytes]) -> bool:
    return any(trace in each for each in memory for trace in traces)


def _memory_of(process: int) -> Iterator[bytes]:
    """Yield the memory that a process may write, in pieces that overlap."""
    overlap = 4 * _PART
    empty = bytes(_CHUNK + overlap)
    with Path(f"/proc/{process}/mem").open("rb", buffering=0) as memory:
        for region in _REGION.finditer(Path(f"/proc/{process}/maps").read_text()):
            begin, end = (int(each, 16) for each in region.groups())
            for start in range(begin, end, _CHUNK):
                # A region may have gone, and the kernel's own ones cannot be read.
                with suppress(OSError, OverflowError):
                    found = os.pread(memory.fileno(), min(_CHUNK + overlap, end - start), start)
                    # Most of what is set aside for stacks was never used.
                    if found != empty[: len(found)]:
                        yield found
