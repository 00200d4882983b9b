"""Very many connections: idle ones cost little, excess is refused with throttling, and nothing kills the server."""

import json
import os
import resource
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from botocore.exceptions import BotoCoreError

from audits import audit_records
from clients import client_of
from local_server import RunningServer
from raw_connections import is_closed, open_connections, replies, send_all, signed_request_bytes
from server_processes import cpu_seconds, open_files, open_sockets, resident_memory, wait_until

Start = Callable[..., RunningServer]
MIB = 1024 * 1024
TURNED_AWAY = 64


def test_ten_thousand_idle_connections(start: Start) -> None:
    server = start()
    kms = client_of(server)
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    request = signed_request_bytes(server, "DescribeKey", json.dumps({"KeyId": key_id}).encode())
    with open_connections(server, 10_000) as connections:
        for batch in range(0, len(connections), 1000):
            some = connections[batch : batch + 1000]
            send_all(some, request)
            assert {reply.status for reply in replies(some)} == {200}
        for _ in range(300):
            blob = kms.encrypt(KeyId=key_id, Plaintext=b"active")["CiphertextBlob"]
            assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"active"
        assert resident_memory(server) < 300 * MIB
        sample = connections[::100]
        send_all(sample, request)
        assert {reply.status for reply in replies(sample)} == {200}


def test_connections_over_the_limit_are_throttled(start: Start, data: Path) -> None:
    most = 40
    server = start(max_connections=most)
    request = signed_request_bytes(server, "ListKeys")
    before = open_sockets(server)
    with (
        open_connections(server, most) as served,
        open_connections(server, TURNED_AWAY) as refused,
        open_connections(server, 20) as dropped,
    ):
        send_all(served, request)
        assert {reply.status for reply in replies(served)} == {200}
        recorded = len(audit_records(data))
        assert all(reply.closed for reply in replies(dropped))
        probe, *others = refused
        probe.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        broken, *others = others
        broken.send(b"nonsense\r\n\r\n")
        # Requests that would have been refused anyway get the same answer.
        send_all(others, request.replace(b"Signature=", b"Signature=0"))
        assert replies([probe])[0].body == b"ok\n"
        assert all(reply.throttled and reply.closed for reply in replies([broken, *others]))
        assert all(is_closed(each) for each in refused)
        assert len(audit_records(data)) == recorded
        send_all(served, request)
        assert {reply.status for reply in replies(served)} == {200}
    wait_until(lambda: open_sockets(server) == before)
    with open_connections(server, most) as again:
        send_all(again, request)
        assert {reply.status for reply in replies(again)} == {200}


def test_a_refused_connection_that_sends_nothing_is_closed(start: Start) -> None:
    most = 4
    server = start(max_connections=most, request_time=1)
    request = signed_request_bytes(server, "ListKeys")
    # All of it is there when the server looks: it does not wait long for a request.
    os.kill(server.process.pid, signal.SIGSTOP)
    with open_connections(server, most) as served:
        send_all(served, request)
        os.kill(server.process.pid, signal.SIGCONT)
        assert {reply.status for reply in replies(served)} == {200}
        with open_connections(server, 1) as silent:
            assert replies(silent)[0].closed
        send_all(served, request)
        assert {reply.status for reply in replies(served)} == {200}


@pytest.mark.parametrize("missing", [0, 5])
def test_a_server_without_file_descriptors_waits_for_some(start: Start, missing: int) -> None:
    """libuv closes what it accepts to free a descriptor; with even fewer descriptors it would retry without a limit."""
    server = start()
    kms = client_of(server)
    kms.list_keys()
    pid = server.process.pid
    allowed = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    in_use = open_files(server)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (in_use - missing, allowed[1]))
    with open_connections(server, 20):
        time.sleep(2.2)
        before, began = cpu_seconds(server), time.monotonic()
        time.sleep(1)
        assert cpu_seconds(server) - before < 0.3 * (time.monotonic() - began)
        # Connections that exist already are served as before.
        kms.list_keys()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, allowed)
    wait_until(lambda: is_answered(server))


def is_answered(server: RunningServer) -> bool:
    """Tell whether a new connection is answered."""
    with suppress(BotoCoreError):
        client_of(server).list_keys()
        return True
    return False


@pytest.mark.parametrize(
    "begun", [b"", b"POST / HTTP/1.1\r\nX: y", b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc"]
)
def test_many_stalled_clients_do_not_disturb_others(start: Start, begun: bytes) -> None:
    server = start(request_time=4)
    kms = client_of(server)
    with open_connections(server, 1000) as slow:
        send_all(slow, begun)
        for _ in range(50):
            assert kms.generate_random(NumberOfBytes=8)["ResponseMetadata"]["HTTPStatusCode"] == 200
        assert all(reply.closed for reply in replies(slow))


def test_the_limit_of_open_files_is_raised_as_far_as_allowed(start: Start) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, hard), hard))
        server = start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE) == (hard, hard)


def test_a_client_may_close_at_any_time(start: Start) -> None:
    server = start()
    request = signed_request_bytes(server, "CreateKey")
    for length in (0, 20, len(request) - 1, len(request)):
        with open_connections(server, 50) as connections:
            send_all(connections, request[:length])
            for each in connections[::2]:
                each.shutdown(socket.SHUT_RDWR)
    assert client_of(server).list_keys()["ResponseMetadata"]["HTTPStatusCode"] == 200
