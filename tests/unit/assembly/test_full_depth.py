"""A deployment whose keys are used in a token alone: what a start says, what a rotation refuses, what a kill leaves."""

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from typing_extensions import override

from custom_stores import PROXY
from domain_key_scene import REGION, command, decrypt, encrypt, locator, new_key, rotate, versions
from key_import import import_material
from local_deployment import LocalDeployment, Refused, entropy
from softhsm import LABEL, MODULE, new_token, pin_file
from strongroom.assembly.data_folder import DataFolderError
from strongroom.assembly.hsm_status import hsm_status
from strongroom.assembly.moves import NotMovableError
from strongroom.assembly.tokens import ConfiguredToken
from strongroom.assembly.unsealing import Unsealing
from strongroom.clock import DAY, ManualClock
from strongroom.crypto.domain_keys import IAM_SCOPE
from strongroom.crypto.hsm.key_backend import HsmKeyBackend
from strongroom.crypto.material import MaterialBinding
from strongroom.crypto.token_errors import TokenUnavailableError
from strongroom.keys.external_keys import parse_external_token
from strongroom.keys.specs import KeySpec, KeyUsage
from strongroom.problems import Subject
from xks_stub import XksStub, named_certificate

REFUSED = {"KeySpec": "RSA_2048", "KeyUsage": "ENCRYPT_DECRYPT"}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(time.time())  # noqa: TID251 - files have the real time


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Any]:
    """Return the settings of a token."""
    for name, value in new_token(tmp_path).items():
        monkeypatch.setenv(name, value)
    return {"pkcs11_module": str(MODULE), "pkcs11_token": LABEL, "pkcs11_pin_file": str(pin_file(tmp_path))}


@pytest.fixture
def full(tmp_path: Path, clock: ManualClock, token: Mapping[str, Any]) -> Iterator[LocalDeployment]:
    local = LocalDeployment(tmp_path / "data", clock, key_protection="pkcs11-full", **token)
    yield local
    local.deployment.close()


def other_objects(local: LocalDeployment) -> list[str]:
    status = hsm_status(local.settings, local.clock, entropy, Unsealing(local.settings, entropy))
    assert all(each.there for each in status.domain_keys)
    return [f"{each.label} {each.object_id}" for each in status.other_objects]


def test_approved_algorithms_alone_can_be_in_full_depth_too(
    tmp_path: Path, clock: ManualClock, token: Mapping[str, Any]
) -> None:
    local = LocalDeployment(tmp_path / "data", clock, key_protection="pkcs11-full", fips=True, **token)
    with closing(local.deployment):
        assert decrypt(local, encrypt(local, new_key(local))) == "eA=="
        signer = new_key(local, KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
        local.call("Sign", KeyId=signer, Message="eA==", SigningAlgorithm="ECDSA_SHA_256")
        with pytest.raises(Refused, match="ECC_SECG_P256K1"):
            new_key(local, KeySpec="ECC_SECG_P256K1", KeyUsage="SIGN_VERIFY")


class _NeverStarted(threading.Thread):
    @override
    def start(self) -> None:
        """Do nothing."""


def test_calls_leave_the_event_loop_as_soon_as_a_key_has_moved(
    tmp_path: Path, clock: ManualClock, token: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    local = LocalDeployment(tmp_path / "data", clock)
    key_id = new_key(local)
    blob = encrypt(local, key_id)
    local.settings = replace(local.settings, key_protection="pkcs11-full", **token)
    local.reopen()
    with closing(local.deployment):
        assert decrypt(local, blob) == "eA=="
        snapshot = local.deployment.backends.snapshot
        # The thread that reads the new domain keys may be late.
        monkeypatch.setattr("strongroom.assembly.domain_key_following.Thread", _NeverStarted)
        with command(local) as opened:
            opened.domain_keys.begin((REGION,))
            opened.domain_keys.rewrap(REGION)
        snapshot.refresh()
        key = snapshot.key(locator(local, key_id), may_wait=True)
        assert key is not None
        assert key.blocks


def test_an_object_that_a_kill_has_left_is_shown(full: LocalDeployment, monkeypatch: pytest.MonkeyPatch) -> None:
    blob = encrypt(full, new_key(full))
    rotate(full)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as kill, command(full) as opened:
        kill.setattr(ConfiguredToken, "destroy", killed)
        with pytest.raises(KeyboardInterrupt):
            opened.domain_keys.destroy_old(())
    assert versions(full)[REGION] == [2]
    left = other_objects(full)
    assert sorted(each.rpartition("/")[0] for each in left) == ["strongroom/eu-west-1/1", "strongroom/us-east-1/1"]
    full.reopen()
    assert decrypt(full, blob) == "eA=="
    full.deployment.keeper.run()
    assert other_objects(full) == []
    assert decrypt(full, blob) == "eA=="


def test_an_object_that_the_token_does_not_destroy_is_named(
    full: LocalDeployment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rotate(full, REGION)
    with command(full) as opened, monkeypatch.context() as away:
        away.setattr("strongroom.assembly.tokens.destroy_wrapping_key", _unavailable)
        assert opened.domain_keys.destroy_old((REGION,)) == [REGION]
    (said,) = [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]
    (left,) = other_objects(full)
    assert left.rpartition(" ")[2] in said
    assert "(strongroom/us-east-1/1), which no domain key has, is still in the token" in said
    with monkeypatch.context() as away:
        away.setattr("strongroom.assembly.tokens.destroy_wrapping_key", _unavailable)
        full.deployment.keeper.run()
        full.clock.advance(3601)
        full.deployment.keeper.run()
    counters = full.deployment.keeper.counters
    assert (counters.destructions_left, counters.destroyed) == (1, 0)
    (problem,) = [each.text for each in full.deployment.problems.current() if each.subject is Subject.DESTRUCTIONS]
    assert "(1 object); it is destroyed once that can be reached: told not to answer" in problem
    full.clock.advance(3600)
    full.deployment.keeper.run()
    assert other_objects(full) == []
    assert (counters.destructions_left, counters.destroyed) == (0, 1)
    assert all(each.subject is not Subject.DESTRUCTIONS for each in full.deployment.problems.current())


def _unavailable(*_: object) -> None:
    raise TokenUnavailableError("told not to answer")


def test_a_token_that_goes_away_in_a_move_is_blamed_on_no_key(
    full: LocalDeployment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    blobs = [encrypt(full, new_key(full)) for _ in range(5)]
    with command(full) as opened:
        opened.domain_keys.begin((REGION,))
        with monkeypatch.context() as away:
            away.setattr(HsmKeyBackend, "rewrap", _unavailable)
            with pytest.raises(TokenUnavailableError):
                opened.domain_keys.rewrap(REGION)
            full.deployment.keeper.run()
    (record,) = [each for each in caplog.records if "could not finish" in each.getMessage()]
    assert record.getMessage().endswith("_rotate_domain_keys (), and tries again: told not to answer")
    assert not [each for each in caplog.records if each.exc_info]
    full.deployment.keeper.run()
    with command(full) as opened:
        assert opened.domain_keys.status((REGION,))[0].remaining == 0
    assert [decrypt(full, each) for each in blobs] == ["eA=="] * 5


def test_a_key_that_a_token_says_it_is_lost_for_is_named_and_the_others_move(
    full: LocalDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [new_key(full) for _ in range(5)]
    moves = HsmKeyBackend.rewrap

    def fails_for_one(backend: HsmKeyBackend, token: bytes, owner: MaterialBinding) -> bytes:
        if owner.key_id == keys[2]:
            _unavailable()
        return moves(backend, token, owner)

    with command(full) as opened, monkeypatch.context() as poisoned:
        opened.domain_keys.begin((REGION,))
        poisoned.setattr(HsmKeyBackend, "rewrap", fails_for_one)
        assert opened.domain_keys.rewrap(REGION) == (f"key {locator(full, keys[2]).arn} (told not to answer)",)
        assert opened.domain_keys.status((REGION,))[0].remaining == 1


def test_the_keeper_rotates_what_can_move_and_says_what_cannot(
    tmp_path: Path, clock: ManualClock, token: Mapping[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    local = LocalDeployment(tmp_path / "data", clock)
    new_key(local, **REFUSED)
    local.deployment.close()
    local = LocalDeployment(
        tmp_path / "data", clock, key_protection="pkcs11-full", domain_key_rotation_days=30, **token
    )
    with closing(local.deployment):
        clock.advance(31 * DAY)
        for _ in range(3):
            local.deployment.keeper.run()
        assert versions(local) == {IAM_SCOPE: [1, 2], "eu-west-1": [1, 2], REGION: [1]}
    told = [each.getMessage() for each in caplog.records if "is not rotated" in each.getMessage()]
    assert len(told) == 1
    assert "cannot keep 1 key in us-east-1: 1 of RSA_2048 for ENCRYPT_DECRYPT" in told[0]
    assert not [each for each in caplog.records if each.exc_info]


def test_an_imported_key_that_the_token_would_change_is_named_and_stays(
    tmp_path: Path, clock: ManualClock, token: Mapping[str, Any]
) -> None:
    """SoftHSM pads it with zeros, which makes another key of one that is longer than a block of its hash."""
    local = LocalDeployment(tmp_path / "data", clock)
    mac = {"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC", "Origin": "EXTERNAL"}
    message = {"Message": "eA==", "MacAlgorithm": "HMAC_SHA_256"}
    changed, kept = new_key(local, **mac), new_key(local, **mac)
    import_material(local, changed, bytes(range(65)))
    import_material(local, kept, bytes(range(64)))
    macs = {key: local.call("GenerateMac", KeyId=key, **message)["Mac"] for key in (changed, kept)}
    local.settings = replace(local.settings, key_protection="pkcs11-full", **token)
    local.reopen()
    with closing(local.deployment):
        with command(local) as opened:
            opened.domain_keys.begin((REGION,))
            (refused,) = opened.domain_keys.rewrap(REGION)
            assert opened.domain_keys.status((REGION,))[0].remaining == 1
            with pytest.raises(DataFolderError):
                opened.domain_keys.destroy_old((REGION,))
        assert f"key/{changed} (The hardware security module does not keep this key" in refused
        assert versions(local)[REGION] == [1, 2]
        for key, made in macs.items():
            assert local.call("GenerateMac", KeyId=key, **message)["Mac"] == made


def test_a_region_without_keys_moves_out_again(full: LocalDeployment) -> None:
    new_key(full)
    full.settings = replace(full.settings, key_protection="software")
    full.reopen()
    with command(full) as opened, pytest.raises(NotMovableError, match="does not leave it: 1 key in us-east-1; set"):
        opened.domain_keys.begin(())
    status = hsm_status(full.settings, full.clock, entropy, Unsealing(full.settings, entropy))
    assert (status.key_protection, len(status.domain_keys)) == ("software", 2)
    assert (KeySpec.RSA_2048, KeyUsage.ENCRYPT_DECRYPT) in {
        (each.key_spec, each.key_usage) for each in status.refused_key_specs
    }
    assert versions(full) == {IAM_SCOPE: [1], "eu-west-1": [1], REGION: [1]}
    rotate(full, IAM_SCOPE, "eu-west-1")
    with command(full) as opened:
        opened.domain_keys.destroy_old(("eu-west-1",))
    assert new_key(full)


def test_external_keys_have_their_own_half_in_the_token(
    tmp_path: Path, clock: ManualClock, token: Mapping[str, Any]
) -> None:
    with XksStub(named_certificate(tmp_path / "proxy", "proxy")) as stub:
        local = LocalDeployment(tmp_path / "data", clock, xks_proxies=stub.hosts)
        store_id = local.call("CreateCustomKeyStore", CustomKeyStoreName="store", **PROXY)["CustomKeyStoreId"]
        local.call("ConnectCustomKeyStore", CustomKeyStoreId=store_id)
        external = {"Origin": "EXTERNAL_KEY_STORE", "CustomKeyStoreId": store_id}
        first = new_key(local, **external, XksKeyId=stub.new_key("one"))
        blob = encrypt(local, first)
        local.settings = replace(local.settings, key_protection="pkcs11-full", **token)
        local.reopen()
        with closing(local.deployment):
            rotate(local)
            second = new_key(local, **external, XksKeyId=stub.new_key("two"))
            with local.deployment.backends.store.read() as reader:
                for key_id in (first, second):
                    key = reader.key(locator(local, key_id))
                    assert key is not None
                    stored = key.materials[0].token
                    assert stored is not None
                    assert parse_external_token(stored).inner[:5] == b"\x13\0\0\0\x02"
            assert decrypt(local, blob) == "eA=="
            assert decrypt(local, encrypt(local, second)) == "eA=="
