"""A copy of the log after the machine has failed: what the log has lost is beside the copy, which is like the log."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_disk import Disk
from shipping import content_of, fill, ship_to_folder
from strongroom.audit.recorded_end import failure_before
from strongroom.audit.verification import Verifier
from strongroom.shipping.progress import Progress, has_taken
from strongroom.store.audit.end_file import read_ends
from strongroom.store.audit.segment_reader import walk
from strongroom.store.audit.segments import copies_of_segments, segments_of


def size_up_to(disk: Disk, segment: int) -> int:
    return sum(each.path.stat().st_size for each in segments_of(disk.folder)[:segment])


def is_like_the_log(disk: Disk, copy: Path) -> bool:
    """Tell whether a copy has the bytes of the log and verifies as it does; both must have no findings."""
    ends, boot = read_ends(disk.folder), disk.clock.boot()
    for folder in (disk.folder, copy):
        verifier = Verifier(
            disk.signer.verifies,
            disk.signer.writers,
            failure=lambda writer, sequence: failure_before(ends.get(writer), sequence, boot),
        )
        walk(copies_of_segments([folder]), verifier, lambda _: None)
        assert verifier.finish(disk.signer.writers).findings == []
    return content_of(copy) == content_of(disk.folder)


def lost_lines(copy: Path) -> list[bytes]:
    """Return the lines that are kept beside a copy."""
    files = sorted(copy.glob("*.cut-off-*"))
    return [line for path in files for line in path.read_bytes().splitlines(keepends=True)]


@pytest.mark.parametrize("shipped", ["in part", "as complete"])
@pytest.mark.parametrize("left", ["all of the segment before", "a part of the segment before", "nothing but one line"])
def test_segments_that_the_machine_has_lost_are_put_beside_the_copy(
    disk: Disk, copy: Path, shipped: str, left: str
) -> None:
    """The lines that the log goes on with have the numbers of those that were lost."""
    log = disk.open(size=2000)
    fill(disk, log, 60)
    assert ship_to_folder(disk, copy) == ""
    if shipped == "as complete":
        # The next one is not shipped any more.
        fill(disk, log, 10)
    before = {line for content in content_of(copy).values() for line in content.splitlines(keepends=True)}
    sizes = {"all": size_up_to(disk, 2), "a part": size_up_to(disk, 2) - 300, "nothing": 0}
    disk.cut_power(next(size for words, size in sizes.items() if left.startswith(words)))
    again = disk.open(size=2000)
    for _ in range(2):
        fill(disk, again, 25)
        assert ship_to_folder(disk, copy) == ""
        again.checkpoint()
        assert ship_to_folder(disk, copy) == ""
        assert is_like_the_log(disk, copy)
    kept = {line for content in content_of(copy).values() for line in content.splitlines(keepends=True)}
    assert set(lost_lines(copy)) == before - kept != set()


def test_what_comes_in_place_of_lost_lines_is_owed(disk: Disk, copy: Path) -> None:
    """It is not archived before the destination has it."""
    log = disk.open(size=2000)
    fill(disk, log, 60)
    assert ship_to_folder(disk, copy) == ""
    disk.cut_power(size_up_to(disk, 2) - 300)
    fill(disk, disk.open(size=2000), 60)
    progress = Progress(copy.parent / "state", "there")
    old, cut, *new = segments_of(disk.folder)
    assert new[0].first <= max(place.sequence for place in progress.load().values())
    assert has_taken(progress.load(), old)
    assert has_taken(progress.load(), cut)
    assert not any(has_taken(progress.load(), each) for each in new)
    assert ship_to_folder(disk, copy) == ""
    assert all(has_taken(progress.load(), each) for each in new[:-1])
    assert len(new) > 2


def decides(data: st.DataObject) -> bool:
    return data.draw(st.booleans())


@given(data=st.data())
@settings(max_examples=40)
def test_a_copy_is_like_the_log_after_any_power_cuts(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Shipping is behind, in the middle of a file or at its end, is killed, and forgets how far it was."""
    folder = tmp_path_factory.mktemp("cuts")
    (folder / "copy").mkdir()
    disk, copy = Disk(folder / "audit", pytest.MonkeyPatch()), folder / "copy"
    state = Progress(folder / "state", "there")
    for _ in range(data.draw(st.integers(2, 4))):
        log = disk.open(size=data.draw(st.sampled_from([1, 1000, 4000])))
        for _ in range(data.draw(st.integers(0, 3))):
            fill(disk, log, data.draw(st.integers(1, 12)))
            if decides(data):
                places = state.load()
                assert ship_to_folder(disk, copy) == ""
                if places and decides(data):
                    state.save(places)
        if segments_of(disk.folder) and decides(data):
            disk.cut_power(data.draw(st.integers(0, size_up_to(disk, 1000))))
        else:
            disk.clock.advance(60)
    fill(disk, disk.open(), 1)
    assert ship_to_folder(disk, copy) == ""
    assert is_like_the_log(disk, copy)
