"""Takes lines out of a copy of the log that its node has lost: the machine has failed before they were on disk there.

The segment that a node begins after a failure says so in its header, and the numbers of its lines can be those of lost
ones. What was lost stays beside the copy, in files ``SEGMENT.cut-off-NUMBER``, which are no segments to verification
and search.
"""

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from strongroom.audit.chain import Position, claim_of, header_in, parse_name
from strongroom.whole_files import open_new, sync_path

_CUT_OFF = ".cut-off"
_LONGEST_CLAIM = 4096


def cut_off(path: Path, size: int) -> None:
    """Move what a segment has after its first ``size`` bytes to a file beside it; raises OSError."""
    with path.open("r+b") as file:
        file.seek(size)
        lost = file.read()
        if not lost:
            return
        with open_new(_unused(path)) as beside:
            beside.write(lost)
            beside.flush()
            os.fsync(beside.fileno())
        sync_path(path.parent)
        file.truncate(size)
        os.fsync(file.fileno())


def follows_failure(header: bytes) -> bool:
    """Tell whether the first line of a segment says that the machine had failed before."""
    found = header_in(header.removesuffix(b"\n"))
    return found is not None and found.machine_failed


def set_aside(
    folder: Path,
    segment: str,
    size_in_log: Callable[[Path], int | None],
    is_older: Callable[[Path], bool] = lambda _path: True,
) -> None:
    """Take what a segment replaces out of a copy: lines of its writer from its first number on, in other segments.

    ``segment`` is the name of one that was begun after the machine had failed. ``size_in_log`` returns how many bytes
    the log has of another one, None if it has not got it. Those that are not ``is_older`` are left alone. Raises
    OSError. A kill in between leaves a part, which the next call does.
    """
    begun = parse_name(segment)
    if begun is None:
        return
    older = [
        (name, path)
        for path in folder.iterdir()
        if (name := parse_name(path.name)) and name.writer == begun.writer and name != begun and is_older(path)
    ]
    # All are judged before the first one is moved: how they go on after each other tells which the log has.
    for path in [path for name, path in older if name.first >= begun.first and size_in_log(path) is None]:
        path.rename(_unused(path))
        sync_path(folder)
    kept = max((each for each in older if each[0].first < begun.first), key=lambda each: each[0].first, default=None)
    if kept is not None:
        cut_off(kept[1], max(_offset_of(kept[1], begun.first), size_in_log(kept[1]) or 0))


def set_aside_all(folder: Path, stored: Mapping[str, float]) -> None:
    """Take what the machine has lost out of a copy that has all of the log, and of whose log nothing is here.

    ``stored`` has when each segment, by its name, was last written to where the copy comes from: what is lost was
    written before what replaces it. Times of the node itself do not tell, because its clock can be set back. Raises
    OSError.
    """

    def age(path: Path) -> tuple[float, str]:
        # Names begin with the time by the clock of the node.
        return stored.get(path.name, 0.0), path.name

    paths = sorted((path for path in folder.iterdir() if parse_name(path.name) is not None), key=age)
    for index, path in enumerate(paths):
        with path.open("rb") as file:
            is_first = follows_failure(file.readline())
        if is_first:
            ends = {_end_of(each): each for each in folder.iterdir() if parse_name(each.name) is not None}
            set_aside(folder, path.name, partial(_size_if_it_goes_on, path, ends), set(paths[:index]).__contains__)


def _size_if_it_goes_on(after: Path, ends: Mapping[Position | None, Path], path: Path) -> int | None:
    """Return the size of a segment that goes on after another one although its name is older; None if it does not.

    Then the clock was set back, and the log has it.
    """
    return path.stat().st_size if _goes_on(path, after, ends) else None


def _goes_on(path: Path, after: Path, ends: Mapping[Position | None, Path]) -> bool:
    found: Path | None = path
    while found is not None and found != after:
        name = parse_name(found.name)
        with found.open("rb") as file:
            header = header_in(file.readline().removesuffix(b"\n"))
        if name is None or header is None:
            return False
        before = ends.get(Position(name.writer, name.first - 1, header.previous.encode()))
        first = None if before is None else parse_name(before.name)
        found = before if first is not None and first.first < name.first else None
    return found is not None


def _end_of(path: Path) -> Position | None:
    """Return the position that the last line of a segment states."""
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _LONGEST_CLAIM))
        return claim_of(file.read().removesuffix(b"\n"))


def _offset_of(path: Path, sequence: int) -> int:
    """Return the offset in bytes of the first line with this number or a later one; the size if there is none."""
    offset = 0
    with path.open("rb") as file:
        for line in file:
            claim = claim_of(line.removesuffix(b"\n"))
            if claim is not None and claim.sequence >= sequence:
                break
            offset += len(line)
    return offset


def _unused(path: Path) -> Path:
    number = 1
    while (beside := path.with_name(f"{path.name}{_CUT_OFF}-{number}")).exists():
        number += 1
    return beside
