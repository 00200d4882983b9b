"""A key whose domain key is in a token: it blocks until it was loaded, and then needs the token no more."""

from collections.abc import Iterator
from contextlib import nullcontext

import pytest
from msgspec.structs import replace

from full_depth import full_depth
from keys_builder import make_key, material
from root_depth import RootDepth, root_depth
from strongroom.crypto.key_backend import KeyBackend
from strongroom.crypto.key_backends import KeyBackends
from strongroom.crypto.token_errors import TokenUnavailableError
from strongroom.errors import QuarantinedRecordException
from strongroom.keys import ciphertext
from strongroom.keys.key_policy import default_policy
from strongroom.keys.kms_key import KeyMaterialState, KmsKey
from strongroom.keys.specs import KeySpec, KeyUsage
from strongroom.operations.kms.table import TABLE
from strongroom.operations.lanes import Lane
from strongroom.operations.shapes import Request
from strongroom.snapshot.active_key import ActiveKey, binding_of
from strongroom.store.quarantine import Quarantine


@pytest.fixture(scope="module")
def depth() -> Iterator[RootDepth]:
    with root_depth() as made:
        yield made


@pytest.fixture
def rotated(depth: RootDepth) -> KmsKey:
    """Return a key with two old materials and a current one."""
    key = replace(make_key(), policy=default_policy("arn:aws:iam::111122223333:root"))
    states = (KeyMaterialState.NON_CURRENT, KeyMaterialState.NON_CURRENT, KeyMaterialState.CURRENT)
    materials = []
    for number, state in enumerate(states, 1):
        made = replace(material(number), state=state)
        materials.append(replace(made, token=depth.backend.generate(binding_of(key, made.material_id))))
    depth.token.calls = 0
    return replace(key, materials=tuple(materials))


def active(depth: RootDepth, key: KmsKey) -> ActiveKey:
    return ActiveKey(key, KeyBackends(depth.backend), Quarantine())


def lane_of(name: str, key: ActiveKey, depth: RootDepth) -> Lane:
    return TABLE[name].lane_of(Lane.INLINE, Request(), [key], KeyBackends(depth.backend))


def test_the_first_use_loads_all_material(depth: RootDepth, rotated: KmsKey) -> None:
    key = active(depth, rotated)
    assert lane_of("Encrypt", key, depth) is Lane.KEY_BACKEND
    key.current()
    assert depth.token.calls == 3
    assert not key.blocks
    for name, lane in (("Encrypt", Lane.INLINE), ("Decrypt", Lane.INLINE), ("RotateKeyOnDemand", Lane.KEY_BACKEND)):
        assert lane_of(name, key, depth) is lane
    for each in rotated.materials:
        loaded = key.material(each.material_id)
        assert loaded is not None
        blob = loaded.encrypt(b"text", b"")
        assert loaded.decrypt(ciphertext.parse(blob), b"") == b"text"
    assert depth.token.calls == 3


def test_an_old_material_that_is_used_first_loads_all_too(depth: RootDepth, rotated: KmsKey) -> None:
    key = active(depth, rotated)
    key.material(rotated.materials[1].material_id)
    assert depth.token.calls == 3
    assert not key.blocks


def test_a_key_waits_for_the_token_before_its_material_is_forgotten(depth: RootDepth, rotated: KmsKey) -> None:
    """A call that was let through to the event loop finds it loaded, and none is let through after that."""
    key = active(depth, rotated)
    key.current()
    assert key.begin_unloading()
    assert lane_of("Encrypt", key, depth) is Lane.KEY_BACKEND
    key.current()
    assert depth.token.calls == 3
    key.unload()
    assert lane_of("Encrypt", key, depth) is Lane.KEY_BACKEND
    key.current()
    assert depth.token.calls == 6
    assert lane_of("Encrypt", key, depth) is Lane.INLINE


def test_a_key_of_another_kind_is_loaded_once(depth: RootDepth) -> None:
    key = replace(make_key(), spec=KeySpec.HMAC_256, policy=default_policy("arn:aws:iam::111122223333:root"))
    made = material(1)
    key = replace(key, materials=(replace(made, token=depth.backend.generate(binding_of(key, made.material_id))),))
    loaded = active(depth, key)
    depth.token.calls = 0
    assert loaded.mac_key() is loaded.mac_key()
    assert depth.token.calls == 1
    assert not loaded.blocks


def signer(backend: KeyBackend) -> ActiveKey:
    """Return a key that signs."""
    key = replace(
        make_key(),
        spec=KeySpec.ECC_NIST_P256,
        usage=KeyUsage.SIGN_VERIFY,
        policy=default_policy("arn:aws:iam::111122223333:root"),
    )
    made = material(1)
    key = replace(key, materials=(replace(made, token=backend.generate(binding_of(key, made.material_id))),))
    return ActiveKey(key, KeyBackends(backend), Quarantine())


def public_key_lanes(key: ActiveKey, backend: KeyBackend) -> set[Lane]:
    rows = [TABLE[name] for name in ("GetPublicKey", "Verify")]
    return {row.lane_of(Lane.COMPUTING, Request(), [key], KeyBackends(backend)) for row in rows}


@pytest.mark.parametrize("full", [False, True])
def test_the_public_half_of_a_loaded_key_does_not_wait_for_the_token(depth: RootDepth, *, full: bool) -> None:
    with full_depth("nss") if full else nullcontext(depth) as made:
        key, token = signer(made.backend), made.token
        assert public_key_lanes(key, made.backend) == {Lane.KEY_BACKEND}
        key.public_key()
        assert public_key_lanes(key, made.backend) == {Lane.COMPUTING}
        assert key.blocks is full
        calls = token.calls
        key.public_key()
        assert token.calls == calls
        # A call may be on its way, so the key is forgotten later.
        assert key.begin_unloading()
        assert public_key_lanes(key, made.backend) == {Lane.KEY_BACKEND}
        key.unload()
        key.public_key()
        assert public_key_lanes(key, made.backend) == {Lane.COMPUTING}


def test_a_token_that_is_away_quarantines_nothing_and_the_next_use_loads(depth: RootDepth, rotated: KmsKey) -> None:
    quarantine = Quarantine()
    key = ActiveKey(rotated, KeyBackends(depth.backend), quarantine)
    depth.token.answers = False
    with pytest.raises(TokenUnavailableError):
        key.current()
    assert key.blocks
    depth.token.answers = True
    key.current()
    assert lane_of("Encrypt", key, depth) is Lane.INLINE
    assert len(quarantine) == 0


def test_a_key_with_damaged_old_material_stays_off_the_event_loop(depth: RootDepth, rotated: KmsKey) -> None:
    first, *others = rotated.materials
    assert first.token is not None
    damaged = replace(first, token=first.token[:-1] + bytes((first.token[-1] ^ 1,)))
    key = active(depth, replace(rotated, materials=(damaged, *others)))
    assert key.current().encrypt(b"text", b"")
    assert lane_of("Decrypt", key, depth) is Lane.KEY_BACKEND
    with pytest.raises(QuarantinedRecordException):
        key.material(first.material_id)
