"""Key material leaves the memory after its time, and when there is too much of it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from local_deployment import LocalDeployment
from strongroom.clock import ManualClock
from strongroom.keys.arns import KeyLocator
from strongroom.snapshot.active_key import ActiveKey
from strongroom.snapshot.loaded_keys import LoadedKeys


class Key:
    """A key that notes what it is told. ``inline`` says whether calls so far did not wait for its back end."""

    def __init__(self, *, inline: bool = False) -> None:
        self.inline = inline
        self.unloaded = 0

    def begin_unloading(self) -> bool:
        was, self.inline = self.inline, False
        return was

    def unload(self) -> None:
        self.unloaded += 1


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_790_000_000.0)


def test_a_key_is_unloaded_after_its_time_also_if_it_is_used(clock: ManualClock) -> None:
    loaded, first, second = LoadedKeys(10, 60, clock.timer), Key(), Key()
    loaded.add(first)
    clock.advance(30)
    loaded.add(second)
    loaded.add(first)
    clock.advance(31)
    loaded.sweep()
    assert (first.unloaded, second.unloaded, loaded.size) == (1, 0, 1)
    clock.advance(30)
    loaded.sweep()
    assert (first.unloaded, second.unloaded, loaded.size) == (1, 1, 0)


def test_the_one_that_was_loaded_first_makes_room(clock: ManualClock) -> None:
    loaded, keys = LoadedKeys(2, 0, clock.timer), [Key() for _ in range(4)]
    for key in keys:
        loaded.add(key)
    assert [key.unloaded for key in keys] == [1, 1, 0, 0]
    clock.advance(1e6)
    loaded.sweep()
    assert loaded.size == 2


def test_a_key_whose_back_end_blocks_leaves_in_two_steps(clock: ManualClock) -> None:
    """A call that was let through to the event loop must not find that it has to load the key."""
    loaded, key = LoadedKeys(10, 60, clock.timer), Key(inline=True)
    loaded.add(key)
    clock.advance(61)
    loaded.sweep()
    assert (key.inline, key.unloaded, loaded.size) == (False, 0, 1)
    loaded.sweep()
    assert (key.unloaded, loaded.size) == (1, 0)


def test_a_key_that_is_removed_is_unloaded(clock: ManualClock) -> None:
    loaded, key, never = LoadedKeys(10, 60, clock.timer), Key(), Key()
    loaded.add(key)
    loaded.remove(key)
    loaded.remove(never)
    assert (key.unloaded, never.unloaded, loaded.size) == (1, 0, 0)


def test_a_served_key_is_loaded_again_at_its_next_use(tmp_path: Path, clock: ManualClock) -> None:
    local = LocalDeployment(tmp_path / "data", clock, loaded_keys_time=60.0)
    snapshot = local.deployment.backends.snapshot
    uses: dict[str, Callable[[str], object]] = {
        "SYMMETRIC_DEFAULT": lambda key_id: local.call("Encrypt", KeyId=key_id, Plaintext="eA=="),
        "HMAC_256": lambda key_id: local.call("GenerateMac", KeyId=key_id, Message="eA==", MacAlgorithm="HMAC_SHA_256"),
    }
    for spec, use in uses.items():
        usage = "ENCRYPT_DECRYPT" if spec == "SYMMETRIC_DEFAULT" else "GENERATE_VERIFY_MAC"
        key_id = local.call("CreateKey", KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["KeyId"]
        use(key_id)
        active = snapshot.key(KeyLocator(local.settings.account, "us-east-1", key_id), may_wait=True)
        assert active is not None
        assert is_loaded(active)
        assert snapshot.sizes()["loaded_key"] == 1
        # Also while the machine sleeps, in which an image of its memory may be on disk.
        clock.suspend(61)
        local.deployment.keeper.run()
        assert not is_loaded(active)
        assert snapshot.sizes()["loaded_key"] == 0
        use(key_id)
        assert is_loaded(active)
        local.call("DisableKey", KeyId=key_id)
        snapshot.refresh()
        assert not is_loaded(active)
    local.deployment.close()


def is_loaded(active: ActiveKey) -> bool:
    return active._loaded_current is not None or active._only is not None
