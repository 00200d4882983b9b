"""Destinations of events: a file, a command, and a webhook that a real TLS server is."""

import base64
import json
import os
import socket
import stat
from pathlib import Path

import pytest

from server_processes import is_alive, wait_until
from strongroom.assembly.events import destination_of
from strongroom.clock import SystemClock
from strongroom.event_destinations import EventDestination
from strongroom.events.command import CommandDestination
from strongroom.events.destination import DeliveryError
from strongroom.events.event import Event
from strongroom.events.file import FileDestination
from strongroom.events.webhook import SecretError, read_secrets, signature_of
from strongroom.settings import Settings
from tls_files import Pair, self_signed
from webhooks import receiver

EVENT = Event(
    id="e1", detail_type="Test", source="strongroom", account="1", time="2026-01-01T00:00:00Z", region="us-east-1"
)
SECRET = base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()


def lines(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in path.read_text().splitlines()]


def event(event_id: str) -> Event:
    return Event(**{name: getattr(EVENT, name) for name in EVENT.__struct_fields__} | {"id": event_id})


def test_each_event_is_a_line_of_a_file_that_its_owner_alone_reads(tmp_path: Path) -> None:
    path = tmp_path / "events"
    to = FileDestination(path)
    to.deliver(event("a"))
    to.deliver(event("b"))
    assert lines(path) == ["a", "b"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.rename(tmp_path / "rotated")
    to.deliver(event("c"))
    assert (lines(tmp_path / "rotated"), lines(path)) == (["a", "b"], ["c"])


def test_the_name_of_a_new_file_is_on_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr("strongroom.events.file.sync_path", synced.append)
    to = FileDestination(tmp_path / "events")
    to.deliver(event("a"))
    to.deliver(event("b"))
    assert synced == [tmp_path]


def test_half_a_line_does_not_spoil_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "events"
    path.write_bytes(b'{"half')
    FileDestination(path).deliver(event("a"))
    assert json.loads(path.read_text().splitlines()[1])["id"] == "a"


@pytest.mark.parametrize("kind", ["no folder", "pipe", "link", "full disk"])
def test_a_file_that_cannot_be_written_is_named(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "events"
    if kind == "no folder":
        path = tmp_path / "gone" / "events"
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to(tmp_path / "elsewhere")
    else:
        path = Path("/dev/full")
    with pytest.raises(DeliveryError, match=str(path)):
        FileDestination(path).deliver(EVENT)


def script(folder: Path, body: str) -> Path:
    path = folder / "command"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o700)
    return path


def command(path: Path, *arguments: str, limit: float = 60.0) -> CommandDestination:
    environment = {"PATH": os.environ["PATH"], "STRONGROOM_SECRET": "secret"}
    return CommandDestination((str(path), *arguments), limit, environment, SystemClock().timer)


def test_a_command_reads_the_event_and_sees_no_other_variable(tmp_path: Path) -> None:
    path = script(tmp_path, f'cat > "{tmp_path}/got"; echo "$1" > "{tmp_path}/argument"; env > "{tmp_path}/env"; pwd')
    command(path, "a; b").deliver(EVENT)
    assert json.loads((tmp_path / "got").read_text())["detail-type"] == "Test"
    assert (tmp_path / "argument").read_text() == "a; b\n"
    assert "STRONGROOM" not in (tmp_path / "env").read_text()


def test_a_command_that_reads_nothing_has_taken_the_event(tmp_path: Path) -> None:
    command(script(tmp_path, "exec 0<&-; exit 0")).deliver(EVENT)


def test_a_command_that_fails_is_told_of_with_its_last_line(tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match=r"exits with 3: 'no pager'"):
        command(script(tmp_path, "echo first >&2; echo 'no pager' >&2; exit 3")).deliver(EVENT)
    with pytest.raises(DeliveryError, match="was ended by signal 15"):
        command(script(tmp_path, "kill -TERM $$")).deliver(EVENT)
    with pytest.raises(DeliveryError, match="cannot be run: No such file"):
        command(tmp_path / "missing").deliver(EVENT)


def test_a_command_that_writes_much_and_takes_too_long_is_killed_with_its_children(tmp_path: Path) -> None:
    path = script(tmp_path, f'sleep 600 & echo $! > "{tmp_path}/child"; while :; do echo much >&2; done')
    with pytest.raises(DeliveryError, match=r"took longer than 0\.5 s"):
        command(path, limit=0.5).deliver(EVENT)
    child = int((tmp_path / "child").read_text())
    wait_until(lambda: not is_alive(child))


def test_what_a_command_leaves_behind_is_killed_and_not_waited_for(tmp_path: Path) -> None:
    command(script(tmp_path, f'sleep 600 & echo $! > "{tmp_path}/child"')).deliver(EVENT)
    child = int((tmp_path / "child").read_text())
    wait_until(lambda: not is_alive(child))


def test_the_signature_is_that_of_standard_webhooks() -> None:
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    # As the library of standardwebhooks.com for Python makes it.
    expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    found = signature_of([secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b'{"test": 2432232314}')
    assert found == expected
    two = signature_of([b"x" * 32, secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b'{"test": 2432232314}')
    assert two.split(" ")[1] == expected


@pytest.mark.parametrize("content", ["", "secret", f"whsec_{SECRET[:8]}", "whsec_!!!", f"{SECRET}", "\xff"])
def test_a_secret_that_is_none_is_refused_without_being_shown(tmp_path: Path, content: str) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(SecretError, match="openssl rand") as refusal:
        read_secrets(path)
    assert not content or content not in str(refusal.value).removeprefix(f"`{path}`").replace("whsec_$", "").replace(
        "no secret", ""
    )
    with pytest.raises(SecretError, match="No such file"):
        read_secrets(tmp_path / "missing")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return self_signed(tmp_path_factory.mktemp("tls"), "127.0.0.1")


def test_a_webhook_gets_the_event_signed_and_its_answer_decides(tmp_path: Path, pair: Pair) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"whsec_{SECRET}\n")
    with receiver(pair) as (handler, port):
        setting = EventDestination(
            f"https://127.0.0.1:{port}/hook?a=b", secret_file=str(secret), ca=str(pair.certificate), time_limit=20
        )
        to = destination_of(setting, Settings(), SystemClock())
        to.deliver(EVENT)
        ((headers, body),) = handler.got
        assert body == EVENT.encode()
        assert headers["webhook-id"] == "e1"
        expected = signature_of(read_secrets(secret), "e1", int(headers["webhook-timestamp"]), body)
        assert headers["webhook-signature"] == expected
        for status, text in ((302, "302 Found"), (500, "500 Internal Server Error"), (404, "404 Not Found")):
            handler.status = status
            with pytest.raises(DeliveryError, match=f"answers with {text}"):
                to.deliver(EVENT)
        handler.status = 204
        secret.write_text(f"whsec_{base64.b64encode(b'x' * 32).decode()}\nwhsec_{SECRET}\n")
        to.deliver(EVENT)
        assert len(handler.got[-1][0]["webhook-signature"].split(" ")) == 2
        to.close()


def test_a_webhook_whose_certificate_is_not_known_gets_nothing(tmp_path: Path, pair: Pair) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"whsec_{SECRET}\n")
    with receiver(pair) as (handler, port):
        setting = EventDestination(f"https://127.0.0.1:{port}/", secret_file=str(secret), time_limit=20)
        with pytest.raises(DeliveryError, match=r"has no TLS that is accepted.*see `ca` in `events`"):
            destination_of(setting, Settings(), SystemClock()).deliver(EVENT)
        assert handler.got == []
    with pytest.raises(DeliveryError, match="cannot be connected to"):
        destination_of(setting, Settings(), SystemClock()).deliver(EVENT)


def test_a_stopped_webhook_is_not_waited_for_longer_than_its_limit(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"whsec_{SECRET}\n")
    # Its kernel takes the connection; nothing reads from it.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
        setting = EventDestination(url, secret_file=str(secret), time_limit=0.3)
        with pytest.raises(DeliveryError, match="has not answered within `time-limit`"):
            destination_of(setting, Settings(), SystemClock()).deliver(EVENT)
