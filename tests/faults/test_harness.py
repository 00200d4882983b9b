"""The harness itself: what a ledger allows, what a power cut may leave, and that a loss is noticed."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from campaign import seeded
from fast_client import CallRefused, FastClient
from ledger import Kind, Ledger, Subject
from ledger_check import Check, unrecorded
from ledger_load import LedgerLoad
from local_server import running_server
from write_record import WriteRecord, with_cuts

STATE = Subject(Kind.STATE, "key")
PROGRAM = """
import os
def write(name, data, synced):
    file = os.open(name, os.O_RDWR | os.O_CREAT, 0o600)
    os.pwrite(file, data, 0)
    if synced:
        os.fsync(file)
    os.close(file)
def sync_path():
    folder = os.open(".", os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
write("synced", b"a" * 4096, True)
write("renamed.new", b"b", True)
os.rename("renamed.new", "renamed")
write("unsynced", b"c" * 4096, False)
sync_path()
write("synced", b"d" * 4096, False)
write("unnamed", b"e", True)
os.link("unnamed", "linked")
os.unlink("renamed")
"""


class Moments:
    """A clock that counts."""

    def __init__(self) -> None:
        self._count = itertools.count(1)

    def __call__(self) -> int:
        return next(self._count)


def test_the_last_acknowledged_value_and_every_later_attempt_are_allowed() -> None:
    ledger = Ledger(Moments())
    with ledger.attempt(STATE, "Enabled"):  # sent 1, acknowledged 2
        pass
    with ledger.attempt(STATE, "Disabled"):  # sent 3, acknowledged 4
        pass
    with pytest.raises(CallRefused), ledger.attempt(STATE, "Deleted"):  # sent 5, the outcome is unknown
        raise CallRefused(500, "KMSInternalException", "")
    with pytest.raises(CallRefused), ledger.attempt(STATE, "Imported"):  # refused, so without an effect
        raise CallRefused(400, "ValidationException", "")
    expected = {1: {}, 2: {"Enabled"}, 3: {"Enabled", "Disabled"}, 4: {"Disabled"}, 5: {"Disabled", "Deleted"}}
    for moment, allowed in expected.items():
        assert ledger.known(Kind.STATE, moment) == ({"key": allowed} if allowed else {})
    assert ledger.known(Kind.STATE, 2, until=5) == {"key": {"Enabled", "Disabled", "Deleted"}}
    ledger.observed(STATE, "Deleted")
    assert ledger.known(Kind.STATE) == {"key": {"Deleted"}}


def test_a_power_cut_leaves_what_was_synced_and_any_part_of_the_rest(tmp_path: Path) -> None:
    record = WriteRecord(tmp_path / "data", tmp_path)
    environment = {**os.environ, **record.environment}
    subprocess.run([sys.executable, "-c", PROGRAM], cwd=record.folder, env=environment, check=True)
    seen: set[tuple[str, bytes]] = set()
    for _, folder in with_cuts(record, [record.moment()] * 60, tmp_path, seeded(1)):
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        seen |= set(files.items()) | {
            (name, b"missing") for name in ("unnamed", "linked", "renamed") if name not in files
        }
        assert len(files["synced"]) == 4096
        assert set(files["synced"]) <= set(b"ad")
        assert set(files["unsynced"]) <= set(b"c\0")
        assert "renamed.new" not in files
    possible = [("synced", b"a" * 4096), ("synced", b"d" * 4096), ("unsynced", b""), ("unsynced", b"c" * 4096)]
    possible += [("unnamed", b"e"), ("unnamed", b"missing"), ("linked", b"e"), ("linked", b"missing")]
    possible += [("renamed", b"b"), ("renamed", b"missing")]
    assert set(possible) <= seen
    assert any(name == "synced" and 0 < content.count(b"d") < 4096 for name, content in seen)


def test_a_difference_is_noticed(tmp_path: Path) -> None:
    ledger, numbers = Ledger(), itertools.count(1)
    with running_server(tmp_path / "data", tmp_path / "log") as server:
        load = LedgerLoad(FastClient(server), ledger, numbers)
        for _ in range(5):
            load.live(next(numbers))
        load.close()
        assert Check(server, ledger).run() == []
        assert unrecorded(tmp_path / "data", ledger) == []
        for subject in list(ledger.subjects):
            ledger.observed(subject, "another value")
        ledger.requests["a call that was never made"] = 0
        differences = Check(server, ledger).run()
        assert all(any(line.startswith(kind) for line in differences) for kind in Kind)
        assert unrecorded(tmp_path / "data", ledger) == ["a call that was never made"]
        assert server.stop() == 0
