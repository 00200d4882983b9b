"""The key back end of external key stores, over a proxy: its tokens, its ciphertexts, and its store's state."""

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from local_deployment import entropy
from strongroom.crypto.material import MaterialOwner, WrappedMaterial
from strongroom.crypto.seal import UnsealError
from strongroom.crypto.service_secrets import ServiceSecrets
from strongroom.crypto.software.key_backend import SoftwareKeyBackend
from strongroom.crypto.xks.key_backend import body_of, sealed_in
from strongroom.crypto.xks.messages import Sealed
from strongroom.errors import (
    InvalidCiphertextException,
    KMSInvalidStateException,
    QuarantinedRecordException,
    UnsupportedOperationException,
)
from strongroom.keys.custom_key_stores import (
    ConnectionState,
)
from strongroom.keys.specs import USAGES, KeySpec
from strongroom.keys.wrapping import WrappingAlgorithm, WrappingKeySpec
from xks_scene import STORE_ID, USER, XksScene, owner
from xks_stub import XksStub


@pytest.fixture
def scene(xks_stub: XksStub, key_backend: SoftwareKeyBackend, service_secrets: ServiceSecrets) -> Iterator[XksScene]:
    scene = XksScene(xks_stub, key_backend, service_secrets)
    yield scene
    scene.proxies.close()


@pytest.mark.parametrize("length", [0, 1, 100, 4096])
@pytest.mark.parametrize("metadata", [0, 1, 20])
@pytest.mark.parametrize("iv", [12, 16])
def test_what_was_encrypted_decrypts_with_its_associated_data_alone(
    scene: XksScene, length: int, metadata: int, iv: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scene.stub, "metadata_length", metadata)
    monkeypatch.setattr(scene.stub, "iv_length", iv)
    key = scene.key(scene.stub.new_key("unit-1"))
    plaintext, data = entropy(length), entropy(9000)
    body = key.encrypt(plaintext, data)
    assert body[0] == 3
    assert len(body) <= length + 100
    assert key.encrypt(plaintext, data) != body
    assert key.decrypt(body, data) == plaintext
    for wrong in (data + b"x", b""):
        with pytest.raises(KMSInvalidStateException):
            key.decrypt(body, wrong)


def test_neither_key_decrypts_alone(scene: XksScene) -> None:
    first, second = scene.key(scene.stub.new_key("unit-2")), scene.key(scene.stub.new_key("unit-3"))
    body = first.encrypt(b"data", b"")
    # Another external key: the proxy refuses.
    with pytest.raises(KMSInvalidStateException, match="proxy rejected the request"):
        second.decrypt(body, b"")
    # The same external key with another backing key: what it decrypts is not ours.
    again = scene.key("unit-2")
    with pytest.raises(KMSInvalidStateException, match="submitted for decryption"):
        again.decrypt(body, b"")


@pytest.mark.parametrize("external_id", ["a", "x" * 128, "key-1_2.3"])
def test_a_token_loads_under_its_binding_alone(scene: XksScene, external_id: str) -> None:
    scene.stub.new_key(external_id)
    token = scene.token(external_id)
    body = scene.loaded(token, external_id).used_by(USER).encrypt(b"data", b"")
    assert scene.loaded(token, external_id).used_by(USER).decrypt(body, b"") == b"data"
    bound = owner(external_id)
    for other in (
        replace(bound, account="444455556666"),
        replace(bound, region="eu-west-1"),
        replace(bound, key_id="4321abcd-12ab-34cd-56ef-1234567890ab"),
        owner(f"{external_id[:127]}y"),
    ):
        with pytest.raises(UnsealError):
            scene.backend.load(token, other)
    for length in range(len(token)):
        with pytest.raises(UnsealError):
            scene.backend.load(token[:length], bound)
        altered = token[:length] + bytes((token[length] ^ 0x81,)) + token[length + 1 :]
        with pytest.raises(UnsealError):
            scene.backend.load(altered, bound)


@pytest.mark.parametrize("state", [state for state in ConnectionState if state is not ConnectionState.CONNECTED])
def test_only_a_connected_store_is_used(scene: XksScene, state: ConnectionState) -> None:
    loaded = scene.loaded(scene.token(scene.stub.new_key("unit-4")), "unit-4")
    assert scene.store is not None
    scene.store = replace(scene.store, state=state)
    before = len(scene.stub.requests)
    with pytest.raises(KMSInvalidStateException, match="not connected to its external key store proxy"):
        loaded.used_by(USER)
    scene.store = None
    with pytest.raises(KMSInvalidStateException):
        loaded.used_by(USER)
    assert len(scene.stub.requests) == before


def test_a_secret_that_does_not_open_is_named(scene: XksScene) -> None:
    assert scene.store is not None
    scene.store = replace(scene.store, wrapped_secret=b"nonsense")
    with pytest.raises(QuarantinedRecordException, match=f"secret of custom key store {STORE_ID} is damaged"):
        scene.key(scene.stub.new_key("unit-5")).encrypt(b"data", b"")


def test_what_the_back_end_does_not_do(scene: XksScene) -> None:
    single = owner("unit-6")
    importer = MaterialOwner(single.account, single.region, single.key_id, single.spec)
    for spec in set(KeySpec) - {KeySpec.SYMMETRIC_DEFAULT}:
        with pytest.raises(UnsupportedOperationException):
            scene.backend.require_spec(spec, USAGES[spec][0], "us-east-1")
        with pytest.raises(UnsupportedOperationException):
            scene.backend.generate(replace(single, spec=spec))
    with pytest.raises(UnsealError):
        scene.backend.replicate(scene.token("unit-6"), single, "eu-west-1")
    with pytest.raises(UnsupportedOperationException):
        scene.backend.wrapping_key(WrappingKeySpec.RSA_2048, WrappingAlgorithm.RSAES_OAEP_SHA_256, importer)
    with pytest.raises(UnsupportedOperationException):
        scene.backend.import_material(WrappedMaterial(b"", WrappingAlgorithm.RSAES_OAEP_SHA_256, b""), importer)
    scene.backend.destroy(scene.token("unit-6"), single)
    assert scene.backend.blocks


def test_bodies_of_another_format_are_refused_without_a_call(scene: XksScene) -> None:
    key = scene.key(scene.stub.new_key("unit-7"))
    before = len(scene.stub.requests)
    whole = body_of(Sealed(b"c", b"i" * 12, b"t" * 16, b"m" * 20))
    assert sealed_in(whole) == Sealed(b"c", b"i" * 12, b"t" * 16, b"m" * 20)
    wrong = [whole[:length] for length in range(len(whole))]
    wrong += [b"\x01" + whole[1:], b"\x03\x15" + whole[2:], b"\x03\xff" + whole[2:], whole[:22] + b"\x0d" + whole[23:]]
    for body in wrong:
        with pytest.raises(InvalidCiphertextException):
            key.decrypt(body, b"")
    assert len(scene.stub.requests) == before


def test_outcomes_are_counted_and_connections_shared(scene: XksScene) -> None:
    key = scene.key(scene.stub.new_key("unit-8"))
    opened = scene.stub.connections
    for _ in range(3):
        key.decrypt(key.encrypt(b"data", b""), b"")
    del scene.stub.keys["unit-8"]
    with pytest.raises(KMSInvalidStateException, match="was not found in its external key manager"):
        key.encrypt(b"data", b"")
    assert scene.proxies.outcomes() == {
        ("encrypt", "success"): 3,
        ("decrypt", "success"): 3,
        ("encrypt", "KeyNotFoundException"): 1,
    }
    assert scene.stub.connections == opened + 1
