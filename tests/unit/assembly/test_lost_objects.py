"""Whether a server says that its token has lost the objects of domain keys."""

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from domain_key_scene import REGION, command, rotate
from local_deployment import LocalDeployment
from softhsm import LABEL, MODULE, new_token, pin_file
from strongroom.assembly.lost_objects import LostObjects
from strongroom.assembly.protections import object_id_of
from strongroom.assembly.tokens import ConfiguredToken
from strongroom.clock import ManualClock
from strongroom.crypto.domain_keys import DomainKeys
from strongroom.crypto.pkcs11 import constants as c
from strongroom.crypto.pkcs11.connection import TokenSession
from strongroom.crypto.pkcs11.wrapping import is_in_token
from strongroom.problems import Subject


@pytest.fixture(params=["pkcs11-root", "pkcs11-full"])
def local(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalDeployment]:
    for name, value in new_token(tmp_path).items():
        monkeypatch.setenv(name, value)
    clock = ManualClock(time.time())  # noqa: TID251 - files have the real time
    token: dict[str, Any] = {
        "pkcs11_module": str(MODULE),
        "pkcs11_token": LABEL,
        "pkcs11_pin_file": str(pin_file(tmp_path)),
    }
    local = LocalDeployment(tmp_path / "data", clock, key_protection=request.param, **token)
    with closing(local.deployment):
        yield local


@pytest.fixture
def token(local: LocalDeployment) -> ConfiguredToken:
    local.deployment.token.require()
    return local.deployment.token


@pytest.fixture
def domain_keys(local: LocalDeployment) -> DomainKeys:
    return local.deployment.domain_keys


def reported(local: LocalDeployment) -> list[str]:
    """Have the server look, and return what it reports of the token."""
    local.deployment.token.look(local.deployment.domain_keys)
    return [each.text for each in local.deployment.problems.current() if each.subject is Subject.TOKEN]


def log_out(token: ConfiguredToken) -> None:
    """End the login of the token behind the server's back: it hides its private objects, and says OK."""
    functions = token.require().module.functions
    token.run(lambda session: functions.call("Logout", session.calls.session))


def destroy(token: ConfiguredToken, domain_keys: DomainKeys, region: str = REGION) -> str:
    """Destroy the object of a domain key that is in use; return its id in hex."""
    (lost,) = [object_id_of(each) for each in domain_keys.in_token if each.scope == region]

    def work(session: TokenSession) -> None:
        (handle,) = session.calls.find_objects({c.CKA_ID: lost})
        session.calls.destroy_object(handle)

    token.run(work)
    return lost.hex()


def test_no_loss_is_reported_of_what_a_lost_login_hides(local: LocalDeployment, token: ConfiguredToken) -> None:
    assert reported(local) == []
    log_out(token)
    assert reported(local) == []
    generation = token.generation
    assert reported(local) == []
    assert token.generation == generation


def test_no_key_is_missed_at_a_start_that_a_lost_login_hides(token: ConfiguredToken, domain_keys: DomainKeys) -> None:
    log_out(token)
    assert not is_in_token(token, b"x" * 16, again=False)
    token.require_all(domain_keys.in_token)


def test_a_loss_is_reported_until_the_object_is_back(
    local: LocalDeployment, token: ConfiguredToken, tmp_path: Path
) -> None:
    saved = {path: path.read_bytes() for path in (tmp_path / "tokens").rglob("*") if path.is_file()}
    lost = destroy(token, local.deployment.domain_keys)
    generation = token.generation
    (text,) = reported(local)
    assert f"the token has lost object {lost} (strongroom/{REGION}/1); restore it from its backup" in text
    assert reported(local) == [text]
    # What is unwrapped already goes on: a new connection would end it.
    assert token.generation == generation
    for path, content in saved.items():
        path.write_bytes(content)
    token.require().module.lose(token.generation)
    assert reported(local) == []


def test_a_token_without_any_object_is_asked_anew_once_in_a_minute(
    token: ConfiguredToken, domain_keys: DomainKeys
) -> None:
    """Other tokens of its module lose their sessions each time."""
    now = 0.0
    lost_objects = LostObjects(token, lambda: now)
    assert lost_objects.look(domain_keys) == []
    regions = [each.scope for each in domain_keys.in_token]
    for each in regions:
        destroy(token, domain_keys, each)
    generation = token.generation
    for expected in (1, 2):
        for _ in range(3):
            assert [each.scope for each in lost_objects.look(domain_keys)] == regions
            assert token.generation == generation + expected
        now += 60.0


def test_a_domain_key_that_another_process_has_destroyed_is_not_missed(
    local: LocalDeployment, token: ConfiguredToken
) -> None:
    rotate(local)
    known = local.deployment.domain_keys
    known.reread()
    before = known.in_token
    with command(local) as opened:
        opened.domain_keys.destroy_old(())
    # Nothing has told this process yet.
    assert known.in_token == before
    generation = token.generation
    assert reported(local) == []
    assert token.generation == generation
    assert len(known.in_token) < len(before)
