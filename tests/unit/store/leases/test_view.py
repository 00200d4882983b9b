"""What workers make of the page: whether they may serve, and what they have to forget."""

from collections.abc import Callable

import pytest

from strongroom.errors import DependencyTimeoutException
from strongroom.store.leases.generation import Generation, TaggedChange
from strongroom.store.leases.page import PAGE_BYTES, RING_ENTRIES, PageReader, PageWriter
from strongroom.store.leases.view import LeaseEnded, OutdatedRead, View
from strongroom.store.records import Change, ChangeKind

PLACE = "here"
TAG = b"tag-tag-"
OTHER = b"another-"


class Scene:
    """A page whose generation is 10, with a lease until 100, and a worker at the time 50."""

    def __init__(self) -> None:
        memory = memoryview(bytearray(PAGE_BYTES))
        self.now = 50.0
        self.meanwhile: Callable[[], object] = lambda: None
        self.writer = PageWriter(memory, PLACE)
        self.writer.forget_everything(Generation(10, TAG), 100)
        self.view = View(PageReader(memory, PLACE), lambda: self.now, self.pause)
        self.view.changes(0)

    def pause(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds
        self.meanwhile()

    def publish(self, last: int, tag: bytes = TAG, kind: str = "key") -> None:
        first = self.writer.head.generation.number + 1
        changes = [TaggedChange(number, tag, kind, "1", "r", f"name-{number}") for number in range(first, last + 1)]
        self.writer.publish(Generation(last, tag), changes)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_without_a_lease_nothing_is_served(scene: Scene) -> None:
    assert scene.view.version() == scene.view.version()
    scene.now = 100
    with pytest.raises(LeaseEnded) as caught:
        scene.view.version()
    assert isinstance(caught.value, DependencyTimeoutException)
    assert (caught.value.code, caught.value.status) == ("DependencyTimeoutException", 500)


def test_a_thread_waits_for_a_renewal(scene: Scene) -> None:
    scene.view.wait_for_lease(1)
    scene.now = 100

    def renew() -> None:
        if scene.now > 100.1:
            scene.writer.extend(200)

    scene.meanwhile = renew
    scene.view.wait_for_lease(1)
    assert 100.1 < scene.now < 100.2


def test_but_not_longer_than_it_may(scene: Scene) -> None:
    scene.now = 100
    with pytest.raises(LeaseEnded):
        scene.view.wait_for_lease(1)
    assert scene.now == pytest.approx(101)


def test_changes_are_named(scene: Scene) -> None:
    version = scene.view.version()
    scene.publish(12)
    assert scene.view.version() != version
    changes = scene.view.changes(10)
    assert changes.entries == [Change(number, ChangeKind.KEY, "1", "r", f"name-{number}") for number in (11, 12)]
    assert (changes.last, changes.complete) == (12, True)
    assert scene.view.changes(12).entries == []


def test_a_new_cache_has_to_forget_everything(scene: Scene) -> None:
    view = View(PageReader(scene.writer._memory, PLACE), lambda: 0.0, scene.pause)
    assert not view.changes(10).complete
    assert view.changes(10).complete


def test_everything_is_forgotten_when_the_ring_was_overrun(scene: Scene) -> None:
    scene.publish(RING_ENTRIES)
    scene.publish(RING_ENTRIES + 11)
    changes = scene.view.changes(10)
    assert (changes.entries, changes.last, changes.complete) == ([], RING_ENTRIES + 11, False)


def test_everything_is_forgotten_for_another_history(scene: Scene) -> None:
    scene.publish(12)
    scene.writer.forget_everything(Generation(11, OTHER))
    assert not scene.view.changes(10).complete
    assert scene.view.changes(11).complete


def test_everything_is_forgotten_for_a_kind_that_a_later_release_writes(scene: Scene) -> None:
    scene.publish(11, kind="later")
    assert not scene.view.changes(10).complete


def test_everything_is_forgotten_by_who_has_seen_more_than_there_is(scene: Scene) -> None:
    assert not scene.view.changes(11).complete


def test_a_read_of_what_is_published_fills_a_cache(scene: Scene) -> None:
    scene.view.check_fill(scene.view.begin_fill(), Generation(10, TAG))


@pytest.mark.parametrize("seen", [Generation(9, TAG), Generation(10, OTHER)], ids=["older", "of another history"])
def test_no_cache_is_filled_from_another_server(scene: Scene, seen: Generation) -> None:
    with pytest.raises(OutdatedRead):
        scene.view.check_fill(scene.view.begin_fill(), seen)


def test_what_is_published_during_a_read_makes_it_no_older(scene: Scene) -> None:
    fill = scene.view.begin_fill()
    scene.publish(12)
    scene.view.check_fill(fill, Generation(10, TAG))
    scene.view.check_fill(fill, Generation(11, TAG))
    with pytest.raises(OutdatedRead):
        scene.view.check_fill(fill, Generation(11, OTHER))


def test_a_newer_read_waits_until_that_is_published(scene: Scene) -> None:
    fill = scene.view.begin_fill()

    def publish() -> None:
        if scene.now > 50.1 and scene.writer.head.generation.number == 10:
            scene.publish(12)

    scene.meanwhile = publish
    scene.view.check_fill(fill, Generation(11, TAG))
    assert scene.now < 50.2
    with pytest.raises(OutdatedRead):
        scene.view.check_fill(fill, Generation(12, OTHER))
    with pytest.raises(OutdatedRead):
        scene.view.check_fill(fill, Generation(13, TAG), 1)
    assert scene.now > 51


def test_no_cache_is_filled_across_histories(scene: Scene) -> None:
    fill = scene.view.begin_fill()
    scene.writer.forget_everything(Generation(12, OTHER))
    for seen in (Generation(10, TAG), Generation(12, OTHER), Generation(13, OTHER)):
        with pytest.raises(OutdatedRead):
            scene.view.check_fill(fill, seen)
    assert scene.now == 50
