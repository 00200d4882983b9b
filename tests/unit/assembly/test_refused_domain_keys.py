"""A token that refuses to make new domain keys: nothing is left of the attempt, and the keeper pauses."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain_key_scene import command
from local_deployment import LocalDeployment, entropy
from softhsm import LABEL, MODULE, new_token, pin_file
from strongroom.assembly import tokens
from strongroom.assembly.hsm_status import hsm_status
from strongroom.assembly.unsealing import Unsealing
from strongroom.clock import DAY, ManualClock
from strongroom.crypto.seal import UnsealError


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalDeployment]:
    for name, value in new_token(tmp_path).items():
        monkeypatch.setenv(name, value)
    local = LocalDeployment(
        tmp_path / "data",
        ManualClock(time.time()),  # noqa: TID251 - files have the real time
        pkcs11_module=str(MODULE),
        pkcs11_token=LABEL,
        pkcs11_pin_file=str(pin_file(tmp_path)),
        key_protection="pkcs11-full",
        domain_key_rotation_days=30,
    )
    yield local
    local.deployment.close()


def left(local: LocalDeployment) -> tuple[int, int]:
    """Return how many objects no domain key has, and how many destructions are noted."""
    status = hsm_status(local.settings, local.clock, entropy, Unsealing(local.settings, entropy))
    with local.deployment.backends.store.read() as reader:
        return len(status.other_objects), reader.destruction_backlog().count


def test_a_refused_rotation_leaves_nothing_and_the_keeper_tries_it_in_an_hour(
    local: LocalDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = []

    def refuse(*_: object) -> None:
        attempts.append(local.clock.now())
        raise UnsealError("the token does not wrap")

    monkeypatch.setattr(tokens, "try_key_encryption_key", refuse)
    with command(local) as opened, pytest.raises(UnsealError, match="does not wrap"):
        opened.domain_keys.begin(())
    assert left(local) == (0, 0)
    local.clock.advance(31 * DAY)
    for _ in range(5):
        local.deployment.keeper.run()
        local.clock.advance(5)
    assert len(attempts) == 2
    assert left(local) == (0, 0)
    local.clock.advance(3600)
    local.deployment.keeper.run()
    assert len(attempts) == 3
