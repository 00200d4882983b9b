"""A copy of the log after the machine has failed: what the log has lost is beside the copy, which is like the log."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_disk import Disk
from shipping import content_of, fill, ship, ship_to_folder, shipper_of
from strongroom.audit.recorded_end import failure_before
from strongroom.audit.verification import Verifier
from strongroom.clock import DAY
from strongroom.shipping.folder import FolderDestination
from strongroom.shipping.lost_lines import set_aside_all
from strongroom.shipping.progress import Progress, has_taken
from strongroom.shipping.shipper import Shipper
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
    before = lines_in(copy)
    sizes = {"all": size_up_to(disk, 2), "a part": size_up_to(disk, 2) - 300, "nothing": 0}
    disk.cut_power(next(size for words, size in sizes.items() if left.startswith(words)))
    again = disk.open(size=2000)
    for _ in range(2):
        fill(disk, again, 25)
        assert ship_to_folder(disk, copy) == ""
        again.checkpoint()
        assert ship_to_folder(disk, copy) == ""
        assert is_like_the_log(disk, copy)
    assert set(lost_lines(copy)) == before - lines_in(copy) != set()


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


@pytest.mark.parametrize("left", ["all of the segment before", "a part of the segment before", "nothing but one line"])
def test_the_clock_can_be_set_back_when_the_machine_has_failed(disk: Disk, copy: Path, left: str) -> None:
    """Then new segments have older names than lost ones. They are shipped, and not archived before."""
    log = disk.open(size=2000)
    fill(disk, log, 60)
    assert ship_to_folder(disk, copy) == ""
    before = lines_in(copy)
    sizes = {"all": size_up_to(disk, 2), "a part": size_up_to(disk, 2) - 300, "nothing": 0}
    disk.cut_power(next(size for words, size in sizes.items() if left.startswith(words)))
    left_over = len(segments_of(disk.folder))
    disk.clock.step(-3600)
    goes_on_and_is_shipped(disk, copy, left_over)
    assert set(lost_lines(copy)) == before - lines_in(copy) != set()


def test_a_place_that_an_earlier_build_has_saved_is_enough_after_a_whole_segment(disk: Disk, copy: Path) -> None:
    log = disk.open(size=2000)
    fill(disk, log, 60)
    assert ship_to_folder(disk, copy) == ""
    (saved,) = (copy.parent / "state").glob("*.json")
    content = json.loads(saved.read_bytes())
    for place in content["places"].values():
        del place["before"], place["head"]
    saved.write_text(json.dumps(content))
    left_over = len(segments_of(disk.folder)) - 1
    disk.cut_power(size_up_to(disk, left_over))
    disk.clock.step(-3600)
    goes_on_and_is_shipped(disk, copy, left_over)


def test_what_was_begun_while_the_clock_was_ahead_is_not_owed_after_it_was_taken(disk: Disk, copy: Path) -> None:
    """Segments have gone on after it with older names, also more of them than a place knows."""
    log = disk.open(size=2000)
    disk.clock.advance(365 * DAY)
    fill(disk, log, 1)
    disk.clock.step(-365 * DAY)
    fill(disk, log, 150)
    assert ship_to_folder(disk, copy) == ""
    places = Progress(copy.parent / "state", "there").load()
    first, second, *others = segments_of(disk.folder)
    assert first.begun > second.begun
    assert len(others) > 8
    assert all(has_taken(places, each) for each in (first, second, *others[:-1]))


@pytest.mark.parametrize("shipped", [1, 60])
def test_a_new_segment_can_have_the_name_of_the_lost_one(disk: Disk, copy: Path, shipped: int) -> None:
    """The machine has no clock that runs while it is off, and fails soon after each start."""
    log = disk.open()
    fill(disk, log, 5)
    log.close()
    disk.clock.restart()
    begun = disk.clock.now()
    fill(disk, disk.open(), shipped)
    assert ship_to_folder(disk, copy) == ""
    before = lines_in(copy)
    kept, lost = segments_of(disk.folder)
    disk.cut_power(kept.path.stat().st_size)
    disk.clock.step(begun - disk.clock.now())
    goes_on_and_is_shipped(disk, copy, left_over=1)
    assert lost.name in content_of(disk.folder)
    assert set(lost_lines(copy)) == before - lines_in(copy) != set()


@pytest.mark.parametrize("first", ["the shipper", "the writer"])
def test_lines_that_another_segment_of_its_name_has_do_not_count_as_taken(disk: Disk, copy: Path, first: str) -> None:
    fill(disk, disk.open(), 5)
    disk.clock.restart()
    begun = disk.clock.now()
    fill(disk, disk.open(), 60)
    assert ship_to_folder(disk, copy) == ""
    kept, lost = segments_of(disk.folder)
    disk.cut_power(kept.path.stat().st_size)
    disk.clock.step(begun - disk.clock.now())
    shipper = new_shipper(disk, copy)
    log = disk.open()
    fill(disk, log, 1)
    if first == "the writer":
        shipper = new_shipper(disk, copy)
    segment, last = log.last_line_place()
    assert segment == lost.name
    assert shipper.taken("w0", segment) == 0
    ship(shipper)
    assert shipper.taken("w0", segment) == last
    # What is all there counts again at once.
    assert new_shipper(disk, copy).taken("w0", segment) == last


def new_shipper(disk: Disk, copy: Path) -> Shipper:
    return shipper_of(disk.folder, copy.parent / "state", FolderDestination(copy), disk.clock)


def test_what_is_older_is_known_by_when_it_was_stored(disk: Disk, tmp_path: Path) -> None:
    """A copy that is fetched has lost segments beside those that replace them; the clock of the node was set back."""
    log = disk.open(size=2000)
    fill(disk, log, 60)
    lost = content_of(disk.folder)
    disk.cut_power(size_up_to(disk, 2) - 300)
    disk.clock.step(-3600)
    fill(disk, disk.open(size=2000), 60)
    kept = content_of(disk.folder)
    assert max(kept.keys() - lost) < min(lost.keys() - kept)
    fetched = tmp_path / "fetched"
    fetched.mkdir()
    for name, content in (kept | lost).items():
        (fetched / name).write_bytes(content)
    set_aside_all(fetched, {name: 1.0 if name in lost else 2.0 for name in kept | lost})
    assert content_of(fetched) == kept
    assert b"".join(lost_lines(fetched)) in b"".join(lost.values())


def lines_in(copy: Path) -> set[bytes]:
    return {line for content in content_of(copy).values() for line in content.splitlines(keepends=True)}


def goes_on_and_is_shipped(disk: Disk, copy: Path, left_over: int) -> None:
    """Write on after the segments that are left; what is new counts as taken only once it was shipped."""
    log = disk.open(size=2000)
    fill(disk, log, 25)
    places = Progress(copy.parent / "state", "there").load()
    assert not any(has_taken(places, each) for each in segments_of(disk.folder)[left_over:])
    for _ in range(2):
        assert ship_to_folder(disk, copy) == ""
        log.checkpoint()
        assert ship_to_folder(disk, copy) == ""
        assert is_like_the_log(disk, copy)
        fill(disk, log, 25)


def decides(data: st.DataObject) -> bool:
    return data.draw(st.booleans())


@given(data=st.data())
@settings(max_examples=40)
def test_a_copy_is_like_the_log_after_any_power_cuts(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Shipping is behind, in the middle of a file or at its end, is killed, and forgets how far it was.

    The clock is set back when the machine has started again.
    """
    folder = tmp_path_factory.mktemp("cuts")
    (folder / "copy").mkdir()
    disk, copy = Disk(folder / "audit", pytest.MonkeyPatch()), folder / "copy"
    state = Progress(folder / "state", "there")
    steps = iter((7, 61, 97, 3607))  # No two segments get one name.
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
            disk.clock.step(-next(steps) if decides(data) else 0)
        else:
            disk.clock.advance(60)
    fill(disk, disk.open(), 1)
    disk.end_processes()
    assert ship_to_folder(disk, copy) == ""
    assert is_like_the_log(disk, copy)
