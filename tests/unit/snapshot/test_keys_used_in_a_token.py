"""A key of full depth: each use waits for the token, and what is unloaded is destroyed there."""

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from full_depth import FullDepth, full_depth
from keys_builder import make_key, material
from strongroom.crypto.key_backends import KeyBackends
from strongroom.crypto.token_errors import TokenUnavailableError
from strongroom.keys import ciphertext
from strongroom.keys.key_policy import default_policy
from strongroom.keys.kms_key import KmsKey
from strongroom.keys.specs import KeySpec, KeyUsage
from strongroom.operations.kms.table import TABLE
from strongroom.operations.lanes import Lane
from strongroom.operations.shapes import Request
from strongroom.snapshot.active_key import ActiveKey, binding_of
from strongroom.snapshot.loaded_keys import LoadedKeys
from strongroom.store.quarantine import Quarantine


@pytest.fixture
def depth() -> Iterator[FullDepth]:
    with full_depth() as made:
        yield made


def kms_key(depth: FullDepth, number: int = 1) -> KmsKey:
    key = replace(make_key(number), policy=default_policy("arn:aws:iam::111122223333:root"))
    made = material(number)
    return replace(key, materials=(replace(made, token=depth.backend.generate(binding_of(key, made.material_id))),))


def active(depth: FullDepth, key: KmsKey, loaded: LoadedKeys | None = None) -> ActiveKey:
    return ActiveKey(key, KeyBackends(depth.backend), Quarantine(), loaded)


def test_each_use_leaves_the_event_loop(depth: FullDepth) -> None:
    key = active(depth, kms_key(depth))
    for _ in range(2):
        for name in ("Encrypt", "Decrypt", "RotateKeyOnDemand"):
            assert TABLE[name].lane_of(Lane.INLINE, Request(), [key], KeyBackends(depth.backend)) is Lane.KEY_BACKEND
        key.current().encrypt(b"message", b"")


def test_unloading_a_key_destroys_it_in_the_token_and_the_next_use_makes_it_again(depth: FullDepth) -> None:
    key = active(depth, kms_key(depth))
    blob = ciphertext.parse(key.current().encrypt(b"message", b""))
    assert depth.temporary_objects() == 1
    key.begin_unloading()
    key.unload()
    assert depth.temporary_objects() == 0
    assert key.current().decrypt(blob, b"") == b"message"
    assert depth.temporary_objects() == 1
    # A change of the key makes another one, and this is dropped. So it is when the key was deleted.
    del key
    assert depth.temporary_objects() == 0


def test_a_call_that_was_running_when_the_key_was_unloaded_ends_well(depth: FullDepth) -> None:
    key = active(depth, kms_key(depth))
    running = key.current()
    blob = ciphertext.parse(running.encrypt(b"message", b""))
    key.unload()
    assert running.decrypt(blob, b"") == b"message"
    del running
    assert depth.temporary_objects() == 0


def test_keys_beyond_the_bound_of_loaded_keys_are_destroyed(depth: FullDepth) -> None:
    loaded = LoadedKeys(3, 0.0, lambda: 0.0)
    keys = [active(depth, kms_key(depth, number), loaded) for number in range(1, 8)]
    for key in keys:
        key.current().encrypt(b"message", b"")
    assert depth.temporary_objects() == 3


def test_a_public_key_is_known_while_the_token_is_away(depth: FullDepth) -> None:
    key = replace(make_key(), spec=KeySpec.ECC_NIST_P256, usage=KeyUsage.SIGN_VERIFY)
    key = replace(key, policy=default_policy("arn:aws:iam::111122223333:root"))
    made = material(1)
    key = replace(key, materials=(replace(made, token=depth.backend.generate(binding_of(key, made.material_id))),))
    public_key = active(depth, key).public_key()
    depth.token.answers = False
    assert active(depth, key).public_key() == public_key
    with pytest.raises(TokenUnavailableError):
        depth.token.run(lambda session: session.generation)
