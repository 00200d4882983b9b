"""What a running server takes on of settings that were read anew: each has an effect, and is not waited for."""

import asyncio
import logging
import os
import signal
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from direct_client import DirectClient
from local_deployment import entropy
from server_processes import wait_until
from strongroom.clock import SystemClock
from strongroom.server.front import Front
from strongroom.server.server import Server
from strongroom.server.tls import Tls
from strongroom.service.counters import CallCounters
from strongroom.settings import Settings
from strongroom.settings_sources import RELOADED
from strongroom.supervisor.process_slot import ProcessSlot, worker
from strongroom.telemetry.logs import set_log_level
from tls_files import Pair, self_signed

HOUR = 3600.0
SETTINGS = Settings(listen="127.0.0.1:0", keeper_interval=HOUR, drain=HOUR, lease=60.0)


class Scene:
    """A server, its rounds of chores, and the parts that settings are given to without it."""

    def __init__(self, direct: DirectClient, folder: Path) -> None:
        self.folder = folder
        self.rounds: list[None] = []
        deployment = direct.local.deployment
        self.server = Server(
            SETTINGS,
            deployment.service,
            lambda: self.rounds.append(None),
            deployment.log,
            SystemClock(),
            entropy,
            counters=CallCounters(),
            tls=Tls(SETTINGS),
        )

    def while_serving(self, scenario: Callable[[], None]) -> None:
        """Run a scenario on a thread while the server serves, and stop the server."""
        failures: list[BaseException] = []

        def run() -> None:
            try:
                scenario()
            except BaseException as error:  # noqa: BLE001 - raised below
                failures.append(error)
            os.kill(os.getpid(), signal.SIGTERM)

        self.server.run(lambda _: threading.Thread(target=run).start())
        if failures:
            raise failures[0]

    def tls(self, **changes: object) -> tuple[ssl.SSLContext, ssl.SSLContext]:
        """Return the contexts that connections get before and after a change."""
        first, second = self_signed(self.folder, "first"), self_signed(self.folder, "second")
        before = Settings(tls_cert=str(first.certificate), tls_key=str(first.key))
        tls = Tls(before)
        old = tls.context
        tls.renew(replace(before, **{name: _named(second, value) for name, value in changes.items()}))
        assert old is not None
        assert tls.context is not None
        return old, tls.context


def _named(pair: Pair, value: object) -> object:
    return {"certificate": str(pair.certificate), "key": str(pair.key)}.get(str(value), value)


@pytest.fixture
def scene(direct: DirectClient, tmp_path: Path) -> Iterator[Scene]:
    held, level = signal.pthread_sigmask(signal.SIG_BLOCK, ()), logging.getLogger().level
    yield Scene(direct, tmp_path)
    # A server blocks these signals at its end.
    signal.pthread_sigmask(signal.SIG_SETMASK, held)
    logging.getLogger().setLevel(level)


def keeper_interval(scene: Scene) -> None:
    def scenario() -> None:
        wait_until(lambda: len(scene.rounds) == 1)
        scene.server.renew(replace(SETTINGS, keeper_interval=0.01))
        wait_until(lambda: len(scene.rounds) > 5)

    scene.while_serving(scenario)


def drain(scene: Scene) -> None:
    given: list[float] = []

    async def note(_: Front, grace: float) -> None:
        given.append(grace)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Front, "drain", note)
        scene.while_serving(lambda: scene.server.renew(replace(SETTINGS, drain=2)))
    assert given == [2]


def lease(scene: Scene) -> None:
    loop = asyncio.new_event_loop()
    front = scene.server._front(loop)
    try:
        longest = front._dispatcher._lease_wait._longest
        assert longest() == 1
        scene.server.renew(replace(SETTINGS, lease=2))
        assert longest() == 0.5
    finally:
        front.close()
        loop.run_until_complete(front.drain(0))
        loop.close()


def worker_timeout(scene: Scene) -> None:
    lock = os.open(scene.folder, os.O_RDONLY)
    slot = ProcessSlot(worker(0), replace(SETTINGS, data=str(scene.folder / "other")), lock)
    slot.start(0)
    slot.ready = True
    slot.configure(replace(SETTINGS, worker_timeout=4))
    missed = 0
    while not slot.failure:
        slot.check_heartbeat()
        missed += 1
    slot.reap(0)
    os.close(lock)
    assert missed == 5


def log_level(_: Scene) -> None:
    set_log_level(replace(SETTINGS, log_level="error"))
    assert logging.getLogger().level == logging.ERROR


def certificate(scene: Scene) -> None:
    old, new = scene.tls(tls_cert="certificate", tls_key="key")
    assert old is not new


def tls_min_version(scene: Scene) -> None:
    old, new = scene.tls(tls_min_version="1.3")
    assert old.minimum_version is ssl.TLSVersion.TLSv1_2
    assert new.minimum_version is ssl.TLSVersion.TLSv1_3


def tls_ciphers(scene: Scene) -> None:
    suite = "ECDHE-RSA-AES256-GCM-SHA384"
    _, new = scene.tls(tls_ciphers=(suite,))
    assert [each["name"] for each in new.get_ciphers() if each["protocol"] == "TLSv1.2"] == [suite]


def tls_client_ca(scene: Scene) -> None:
    old, new = scene.tls(tls_client_ca="certificate")
    assert (old.verify_mode, new.verify_mode) == (ssl.CERT_NONE, ssl.CERT_REQUIRED)


EFFECTS: dict[str, Callable[[Scene], None]] = {
    "keeper_interval": keeper_interval,
    "drain": drain,
    "lease": lease,
    "worker_timeout": worker_timeout,
    "log_level": log_level,
    "tls_cert": certificate,
    "tls_key": certificate,
    "tls_min_version": tls_min_version,
    "tls_ciphers": tls_ciphers,
    "tls_client_ca": tls_client_ca,
}


def test_all_that_is_said_to_be_taken_on_is_tried_here() -> None:
    assert EFFECTS.keys() == RELOADED


@pytest.mark.parametrize("name", EFFECTS)
def test_what_is_taken_on_has_an_effect(scene: Scene, name: str) -> None:
    EFFECTS[name](scene)


def test_nodes_take_turns_as_long_as_the_new_interval_needs(
    direct: DirectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = direct.local.deployment
    given: list[float] = []

    def take_turn(_: str, seconds: float) -> bool:
        given.append(seconds)
        return True

    monkeypatch.setattr(deployment.backends.store, "take_turn", take_turn)
    deployment.keeper.run()
    deployment.renew(replace(direct.local.settings, keeper_interval=100))
    deployment.keeper.run()
    assert given == [30, 300]
