"""The shared page: heads and entries are read as they were written, or not at all."""

from pathlib import Path

import pytest

from strongroom.store.leases.generation import Generation, TaggedChange
from strongroom.store.leases.page import NO_HEAD, PAGE_BYTES, RING_ENTRIES, PageFile, PageReader, PageWriter

PLACE = "boot 1 2"
TAG = b"tag-tag-"
HEADS = slice(64, 192)


def change(sequence: int, name: str = "name") -> TaggedChange:
    return TaggedChange(sequence, TAG, "key", "111122223333", "eu-central-1", name)


def page() -> tuple[memoryview, PageWriter, PageReader]:
    memory = memoryview(bytearray(PAGE_BYTES))
    writer = PageWriter(memory, PLACE)
    writer.forget_everything(Generation(10, TAG))
    return memory, writer, PageReader(memory, PLACE)


def test_what_is_published_is_read() -> None:
    _, writer, reader = page()
    writer.publish(Generation(12, TAG), [change(11, "a"), change(12, "b")], 99.5)
    head = reader.head()
    assert (head.generation, head.lease_end, head.forgets) == (Generation(12, TAG), 99.5, 1)
    assert reader.entry(12, head.forgets) == change(12, "b")
    assert reader.entry(13, head.forgets) is None


def test_the_version_differs_with_each_generation_and_not_with_the_lease() -> None:
    _, writer, reader = page()
    versions = [reader.head().version]
    writer.extend(50)
    assert reader.head().version == versions[0]
    writer.publish(Generation(11, TAG), [change(11)])
    versions.append(reader.head().version)
    writer.forget_everything(Generation(11, TAG))
    versions.append(reader.head().version)
    assert len(set(versions)) == 3


def test_a_head_that_is_read_during_a_write_is_the_one_before_or_the_one_after() -> None:
    memory, writer, _ = page()
    writer.publish(Generation(11, TAG), [change(11)], 50)
    before, old = bytes(memory[HEADS]), writer.head
    writer.publish(Generation(12, TAG), [change(12)], 60)
    after, new = bytes(memory[HEADS]), writer.head
    found = set()
    for split in range(len(before) + 1):
        for mixed in (before[:split] + after[split:], after[:split] + before[split:]):
            memory[HEADS] = mixed
            head = PageReader(memory, PLACE).head()
            assert head in (old, new)
            found.add(head.serial)
    assert found == {old.serial, new.serial}


def test_an_agent_that_dies_during_a_write_leaves_the_head_before() -> None:
    memory, writer, reader = page()
    writer.publish(Generation(11, TAG), [change(11)], 50)
    before, old = bytes(memory[HEADS]), writer.head
    writer.extend(60)
    torn = bytes(memory[HEADS])
    middle = next(place for place in range(128) if before[place] != torn[place]) + 10
    memory[HEADS] = torn[:middle] + before[middle:]
    assert reader.head() == old
    taken_over = PageWriter(memory, PLACE)
    assert reader.head() == taken_over.head
    assert (reader.head().lease_end, reader.head().generation) == (0, old.generation)


def test_the_lease_ends_when_an_agent_takes_over() -> None:
    memory, writer, reader = page()
    writer.extend(50)
    PageWriter(memory, PLACE)
    assert reader.head().lease_end == 0


def test_a_copy_of_the_page_says_nothing() -> None:
    memory, writer, _ = page()
    writer.record_incarnation(b"i" * 16)
    writer.extend(50)
    copy = memoryview(bytearray(memory))
    assert PageReader(copy, "boot 1 3").head() == NO_HEAD
    assert PageWriter(copy, "boot 1 3").incarnation is None
    assert PageWriter(memory, PLACE).incarnation == b"i" * 16


def test_an_overwritten_entry_is_not_taken_for_another_one() -> None:
    _, writer, reader = page()
    writer.publish(Generation(11, TAG), [change(11)])
    writer.publish(Generation(RING_ENTRIES + 11, TAG), [change(number) for number in range(12, RING_ENTRIES + 12)])
    assert reader.entry(11, 1) is None
    assert reader.entry(RING_ENTRIES + 11, 1) == change(RING_ENTRIES + 11)


def test_an_entry_of_another_history_is_not_taken_for_one_of_this() -> None:
    _, writer, reader = page()
    writer.publish(Generation(11, TAG), [change(11)])
    writer.forget_everything(Generation(10, TAG))
    assert reader.entry(11, reader.head().forgets) is None


def test_a_damaged_entry_is_not_read() -> None:
    memory, writer, reader = page()
    writer.publish(Generation(11, TAG), [change(11)])
    place = bytes(memory).index(b"eu-central-1")
    memory[place] ^= 1
    assert reader.entry(11, 1) is None


@pytest.mark.parametrize("name", ["n" * 400, "n\0n", "né"])
def test_everything_is_forgotten_for_a_change_that_the_ring_cannot_hold(name: str) -> None:
    _, writer, reader = page()
    writer.publish(Generation(11, TAG), [change(11, name)], 50)
    head = reader.head()
    assert (head.generation, head.lease_end, head.forgets) == (Generation(11, TAG), 50, 2)


def test_too_many_changes_are_forgotten_together() -> None:
    _, writer, reader = page()
    changes = [change(number) for number in range(11, RING_ENTRIES + 12)]
    writer.publish(Generation(RING_ENTRIES + 11, TAG), changes)
    assert reader.head().forgets == 2


def test_a_page_has_one_writer_and_many_readers(tmp_path: Path) -> None:
    path = tmp_path / "page"
    file = PageFile(path, "boot", writing=True)
    writer = PageWriter(file.memory, file.place)
    writer.forget_everything(Generation(7, TAG), 50)
    with pytest.raises(BlockingIOError):
        PageFile(path, "boot", writing=True)
    reading = PageFile(path, "boot", writing=False)
    reader = PageReader(reading.memory, reading.place)
    assert reader.head() == writer.head
    writer.extend(60)
    assert reader.head().lease_end == 60
    assert path.stat().st_mode & 0o777 == 0o600
    file.close()
    again = PageFile(path, "boot", writing=True)
    PageWriter(again.memory, again.place)
    assert (reader.head().lease_end, reader.head().generation.number) == (0, 7)
    again.close()
    reading.close()


def test_after_the_next_start_of_the_machine_an_old_page_says_nothing(tmp_path: Path) -> None:
    file = PageFile(tmp_path / "page", "boot 1", writing=True)
    PageWriter(file.memory, file.place).forget_everything(Generation(7, TAG), 50)
    file.close()
    later = PageFile(tmp_path / "page", "boot 2", writing=False)
    assert PageReader(later.memory, later.place).head() == NO_HEAD
    later.close()


def test_a_page_that_cannot_be_mapped_leaves_no_open_file(tmp_path: Path) -> None:
    (tmp_path / "page").touch()
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(ValueError, match="length"):
        PageFile(tmp_path / "page", "boot", writing=False)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
