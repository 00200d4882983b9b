"""The lane of a call once its keys are known."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local_deployment import LocalDeployment, entropy
from slow_key import active_key
from strongroom.clock import ManualClock
from strongroom.crypto.key_backends import KeyBackends
from strongroom.operations.kms.create_key import CreateKeyRequest
from strongroom.operations.kms.data_keys import GenerateRandomRequest
from strongroom.operations.kms.table import TABLE
from strongroom.operations.lanes import Lane
from strongroom.operations.shapes import Request
from token_backend import TokenBackend

STORE = "cks-1234567890abcdef0"
ON_MATERIAL = {
    *("Encrypt", "Decrypt", "ReEncrypt", "Sign", "Verify", "GenerateMac", "VerifyMac", "DeriveSharedSecret"),
    *("GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "GenerateDataKeyPair"),
    *("GenerateDataKeyPairWithoutPlaintext", "Encapsulate", "Decapsulate", "GetPublicKey", "RotateKeyOnDemand"),
    *("ReplicateKey", "ImportKeyMaterial", "DeleteImportedKeyMaterial", "GetParametersForImport"),
}
"""Operations that use, make or destroy the material of the keys they name (KMS API Reference)."""


@pytest.fixture
def local(tmp_path: Path, clock: ManualClock) -> Iterator[LocalDeployment]:
    local = LocalDeployment(tmp_path / "data", clock)
    yield local
    local.deployment.close()


def new_key(local: LocalDeployment, **request: str) -> str:
    key_id: str = local.call("CreateKey", **request)["KeyMetadata"]["KeyId"]
    return key_id


def request_of(operation: str) -> Request:
    """Return a request; only those are looked at that reach a key store without a key."""
    return {"CreateKey": CreateKeyRequest(), "GenerateRandom": GenerateRandomRequest()}.get(operation, Request())


@pytest.mark.parametrize("guess", Lane)
def test_every_operation_on_the_material_of_a_key_that_blocks_goes_to_its_lane(
    local: LocalDeployment, guess: Lane
) -> None:
    backends = local.deployment.backends.key_backends
    active = active_key(local, new_key(local))
    active.blocks = active.public_key_blocks = True
    chosen = {name: row.lane_of(guess, request_of(name), [active], backends) for name, row in TABLE.items()}
    assert chosen == {name: Lane.KEY_BACKEND if name in ON_MATERIAL else guess for name in TABLE}


@pytest.mark.parametrize("guess", Lane)
def test_a_software_key_stays_where_the_body_put_the_call(local: LocalDeployment, guess: Lane) -> None:
    backends = local.deployment.backends.key_backends
    active = active_key(local, new_key(local))
    for name, row in TABLE.items():
        assert row.lane_of(guess, request_of(name), [active], backends) is guess


def test_one_key_of_two_that_blocks_is_enough(local: LocalDeployment) -> None:
    backends = local.deployment.backends.key_backends
    fast, slow = (active_key(local, new_key(local)) for _ in range(2))
    slow.blocks = True
    for keys in ([fast, slow], [slow, fast]):
        assert TABLE["ReEncrypt"].lane_of(Lane.INLINE, Request(), keys, backends) is Lane.KEY_BACKEND
    assert TABLE["ReEncrypt"].lane_of(Lane.INLINE, Request(), [fast, fast], backends) is Lane.INLINE


def test_a_slow_curve_leaves_the_event_loop_and_no_other_lane(local: LocalDeployment) -> None:
    backends = local.deployment.backends.key_backends
    active = active_key(local, new_key(local, KeySpec="ECC_SECG_P256K1", KeyUsage="SIGN_VERIFY"))
    assert TABLE["Sign"].lane_of(Lane.INLINE, Request(), [active], backends) is Lane.SIGNING
    assert TABLE["Sign"].lane_of(Lane.COMPUTING, Request(), [active], backends) is Lane.COMPUTING
    assert TABLE["DescribeKey"].lane_of(Lane.INLINE, Request(), [active], backends) is Lane.INLINE
    active.blocks = True
    assert TABLE["Sign"].lane_of(Lane.INLINE, Request(), [active], backends) is Lane.KEY_BACKEND


@pytest.mark.parametrize("guess", [Lane.WRITING, Lane.GENERATING])
def test_a_new_key_in_a_key_store_that_blocks_is_made_in_that_lane_too(local: LocalDeployment, guess: Lane) -> None:
    row, software, token = TABLE["CreateKey"], local.deployment.backends.key_backends, TokenBackend(entropy)
    in_default, in_custom = CreateKeyRequest(), CreateKeyRequest(custom_key_store_id=STORE)
    custom_blocks = KeyBackends(software.of_store(None), {STORE: token})
    assert row.lane_of(guess, in_default, [], custom_blocks) is guess
    assert row.lane_of(guess, in_custom, [], custom_blocks) is Lane.KEY_BACKEND
    default_blocks = KeyBackends(token, {STORE: software.of_store(None)})
    assert row.lane_of(guess, in_default, [], default_blocks) is Lane.KEY_BACKEND
    assert row.lane_of(guess, in_custom, [], default_blocks) is guess
    assert row.lane_of(guess, in_custom, [], KeyBackends(software.of_store(None))) is guess
    external = CreateKeyRequest(custom_key_store_id=STORE, xks_key_id="key")
    assert row.lane_of(guess, external, [], software) is Lane.XKS_PROXY


def test_random_bytes_of_a_cluster_are_drawn_in_the_lane_of_hardware(local: LocalDeployment) -> None:
    row, backends = TABLE["GenerateRandom"], local.deployment.backends.key_backends
    asked = GenerateRandomRequest(custom_key_store_id=STORE, number_of_bytes=8)
    assert row.lane_of(Lane.INLINE, asked, [], backends) is Lane.KEY_BACKEND
    # Those of the server need no hardware, also in root depth.
    ours = GenerateRandomRequest(number_of_bytes=8)
    assert row.lane_of(Lane.INLINE, ours, [], KeyBackends(TokenBackend(entropy))) is Lane.INLINE


def test_a_call_with_an_external_key_goes_to_the_lane_of_the_proxies(local: LocalDeployment) -> None:
    backends = local.deployment.backends.key_backends
    in_token, external = (active_key(local, new_key(local)) for _ in range(2))
    in_token.blocks = external.blocks = external.is_external = True
    for keys in ([external], [in_token, external], [external, in_token]):
        assert TABLE["ReEncrypt"].lane_of(Lane.INLINE, Request(), keys, backends) is Lane.XKS_PROXY
    assert TABLE["DescribeKey"].lane_of(Lane.INLINE, Request(), [external], backends) is Lane.INLINE
