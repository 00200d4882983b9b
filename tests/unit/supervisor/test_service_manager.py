"""Each message to a service manager is as sd_notify(3) has it, and one that does not arrive does no harm."""

import logging
from pathlib import Path

import pytest

from service_managers import listening
from strongroom.supervisor.service_manager import ServiceManager


@pytest.mark.parametrize("name", ["socket", "@strongroom-test"])
def test_the_messages_of_a_life(tmp_path: Path, name: str) -> None:
    path = f"{name}-{tmp_path.name}-{id(name)}" if name.startswith("@") else str(tmp_path / name)
    with listening(path) as listener:
        manager = ServiceManager(listener.path, watched=True, monotonic=lambda: 12.5)
        manager.ready("serves all")
        manager.alive()
        manager.reloading()
        manager.ready()
        manager.stopping()
        assert listener.next() == {"READY": "1", "STATUS": "serves all"}
        assert listener.next() == {"WATCHDOG": "1"}
        assert listener.next() == {"RELOADING": "1", "MONOTONIC_USEC": "12500000", "STATUS": "reads its settings anew"}
        assert listener.next() == {"READY": "1", "STATUS": "serves all"}
        assert listener.next() == {"STOPPING": "1", "STATUS": "finishes the requests in progress"}


def test_processes_that_are_started_later_do_not_find_the_socket() -> None:
    variables = {"NOTIFY_SOCKET": "/run/notify", "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "7", "HOME": "/root"}
    ServiceManager.of(variables, 7)
    assert variables == {"HOME": "/root"}


@pytest.mark.parametrize(
    ("variables", "watched"),
    [
        ({"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "7"}, True),
        ({"WATCHDOG_USEC": "1000"}, True),
        ({"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "8"}, False),
        ({}, False),
    ],
)
def test_the_manager_hears_that_the_process_lives_only_if_it_asked(
    tmp_path: Path, variables: dict[str, str], *, watched: bool
) -> None:
    with listening(tmp_path / "socket") as listener:
        manager = ServiceManager.of({"NOTIFY_SOCKET": listener.path, **variables}, 7)
        manager.alive()
        manager.stopping()
        assert ("WATCHDOG" in listener.next()) is watched


def test_without_a_manager_nothing_is_said() -> None:
    manager = ServiceManager.of({}, 7)
    manager.ready("serves all")
    manager.alive()
    manager.stopping()


@pytest.mark.parametrize("address", ["vsock:2:1", "socket"])
def test_an_address_that_cannot_be_used_is_named(address: str, caplog: pytest.LogCaptureFixture) -> None:
    manager = ServiceManager.of({"NOTIFY_SOCKET": address}, 7)
    manager.ready("serves all")
    assert [record.message for record in caplog.records] == [
        f"NOTIFY_SOCKET is no path of a Unix socket, and has no effect: '{address}'"
    ]


def test_a_manager_that_is_gone_is_noted_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    manager = ServiceManager(str(tmp_path / "socket"), watched=True)
    with caplog.at_level(logging.WARNING):
        manager.ready("serves all")
        manager.alive()
        manager.stopping()
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "the service manager cannot be told what this server does (NOTIFY_SOCKET)"
    ]


def test_a_manager_that_does_not_read_delays_no_sign_of_life(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with listening(tmp_path / "socket") as listener:
        manager = ServiceManager(listener.path, watched=True)
        # More than the queue of a socket holds (net.unix.max_dgram_qlen).
        for _ in range(2000):
            manager.alive()
        assert listener.next() == {"WATCHDOG": "1"}
    assert not caplog.records
