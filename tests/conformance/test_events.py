"""Events of a running server, at the destinations that its settings name."""

import base64
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mypy_boto3_kms.client import KMSClient

from accounts import strongroom
from client_errors import error_code_of
from clients import client_of
from free_ports import free_port
from local_server import RunningServer, running_server
from scrapes import scrape
from server_processes import is_alive, wait_until
from shipping import process_of
from strongroom.events.webhook import read_secrets, signature_of
from tls_files import Pair, self_signed
from webhooks import receiver

SENDER = "strongroom.cli.event_sender"
DENIED = 5


class Node:
    """A server with a file, a command and a webhook, and the folder of all that."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "events.jsonl"
        self.port = free_port()
        self.pair: Pair = self_signed(folder, "127.0.0.1")
        self.secret = folder / "secret"
        self.secret.write_text(f"whsec_{base64.b64encode(b'0' * 32).decode()}\n")
        command = folder / "command"
        command.write_text(f"#!/bin/sh\ncat >> {folder}/commands\ngrep SigIgn /proc/self/status > {folder}/ignored\n")
        command.chmod(0o700)
        self.config = folder / "strongroom.toml"
        self.config.write_text(
            f"""
workers = 2
metrics-listen = "127.0.0.1:0"
events-denied = {DENIED}
[[events]]
to = "file:{self.file}"
[[events]]
to = "https://127.0.0.1:{self.port}/hidden-path"
secret-file = "{self.secret}"
ca = "{self.pair.certificate}"
[[events]]
to = "command:{command}"
detail-types = ["KMS CMK Rotation"]
"""
        )
        self.server: RunningServer

    def events(self, detail_type: str) -> list[dict[str, Any]]:
        """Return the events of a kind in the file."""
        if not self.file.exists():
            return []
        found = [json.loads(line) for line in self.file.read_text().splitlines()]
        return [event for event in found if event["detail-type"] == detail_type]

    def command(self, *arguments: str) -> tuple[int, str]:
        done = strongroom(self.folder / "data", *arguments, "--config", str(self.config))
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    found = Node(tmp_path_factory.mktemp("node"))
    options = ("--config", str(found.config))
    with running_server(found.folder / "data", found.folder / "log", *options) as server:
        found.server = server
        yield found
        assert server.stop() == 0
    assert "Traceback" not in (found.folder / "log").read_text()
    assert "hidden-path" not in (found.folder / "log").read_text()


@pytest.fixture(scope="module")
def kms(node: Node) -> KMSClient:
    return client_of(node.server)


def rotated(kms: KMSClient) -> str:
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.rotate_key_on_demand(KeyId=key_id)
    return key_id


def test_a_rotation_reaches_the_file_and_the_command(node: Node, kms: KMSClient) -> None:
    key_id = rotated(kms)
    wait_until(lambda: bool(node.events("KMS CMK Rotation")) and (node.folder / "ignored").exists())
    (event,) = node.events("KMS CMK Rotation")
    assert event["detail"]["key-id"] == key_id
    wait_until(lambda: bool((node.folder / "ignored").read_text()))
    assert json.loads((node.folder / "commands").read_text()) == event
    # The process itself goes on after SIGTERM; what it starts must not.
    ignored = int((node.folder / "ignored").read_text().split()[1], 16)
    assert not ignored >> (signal.SIGTERM - 1) & 1


def test_a_webhook_gets_what_waited_when_it_is_back(node: Node, kms: KMSClient) -> None:
    # Something has to fail, also if this test runs alone.
    rotated(kms)
    wait_until(lambda: scrape(node.server).sum("strongroom_events_working") == 2)
    # What is queued outlives the process that sends.
    first = process_of(node.server.process.pid, SENDER)
    assert first is not None
    os.kill(first, signal.SIGKILL)
    key_id = rotated(kms)
    wait_until(lambda: not is_alive(first) and process_of(node.server.process.pid, SENDER) is not None)
    wait_until(lambda: scrape(node.server).sum("strongroom_events_working") == 2)
    assert scrape(node.server).sum("strongroom_events_send_failures_total") > 0
    with receiver(node.pair, node.port) as (handler, _):
        wait_until(lambda: key_id.encode() in b"".join(body for _, body in handler.got))
        for headers, body in handler.got:
            event = json.loads(body)
            at = int(headers["webhook-timestamp"])
            assert headers["webhook-id"] == event["id"]
            assert headers["webhook-signature"] == signature_of(read_secrets(node.secret), event["id"], at, body)
        wait_until(lambda: scrape(node.server).sum("strongroom_events_working") == 3)
    # Its queue is empty, so the server does not find out that it is gone again. The test does.
    code, shown = node.command("events", "test")
    assert (code, shown.count(": taken, id "), shown.count(": failed: ")) == (1, 2, 1)
    assert "hidden-path" not in shown
    code, shown = node.command("events", "status", "--json")
    assert code == 0
    assert [each["waiting"] for each in json.loads(shown)["destinations"]] == [0, 0, 0]


def test_many_denied_calls_of_all_workers_are_one_event(node: Node, kms: KMSClient) -> None:
    key = kms.create_key()["KeyMetadata"]
    policy = {"Effect": "Deny", "Principal": "*", "Action": "kms:Encrypt", "Resource": "*"}
    everything = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "kms:*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [everything, policy]})
    kms.put_key_policy(KeyId=key["KeyId"], Policy=document)
    for _ in range(2 * DENIED):
        assert error_code_of(kms.encrypt, KeyId=key["KeyId"], Plaintext=b"x") == "AccessDeniedException"
    wait_until(lambda: len(node.events("Access Denied Burst")) == 2)
    principal, of_key = node.events("Access Denied Burst")
    assert principal["detail"]["principal-arn"] == "arn:aws:iam::000000000000:root"
    assert of_key["resources"] == [key["Arn"]]
