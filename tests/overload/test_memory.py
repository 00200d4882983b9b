"""The memory that clients can make a server use is bounded."""

import json
import time
from collections.abc import Callable

import pytest

from clients import client_of
from local_server import RunningServer
from raw_connections import has_reply, is_closed, open_connections, replies, send_all, send_whole, signed_request_bytes
from server_processes import PATIENCE, open_sockets, resident_memory, wait_until

Start = Callable[..., RunningServer]
MIB = 1024 * 1024
UNFINISHED = (
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: 1000000\r\n\r\n"
)
MANY_HEADERS = b"GET /healthz HTTP/1.1\r\n" + b"".join(b"a%d: %s\r\n" % (number, b"y" * 300) for number in range(98))


def padded(size: int) -> bytes:
    return json.dumps({"Limit": 1, "Padding": "x" * size}).encode()


def test_large_bodies_that_never_end(start: Start) -> None:
    server = start(held_bytes=8 * MIB, request_time=600)
    kms = client_of(server)
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    before = resident_memory(server)
    with open_connections(server, 150) as connections:
        send_all(connections, UNFINISHED)
        unsent = dict.fromkeys(connections, b"x" * 900_000)
        end = time.monotonic() + PATIENCE
        while any(unsent.values()) and time.monotonic() < end:
            for each, rest in unsent.items():
                try:
                    unsent[each] = rest[each.send(rest) :] if rest else b""
                except BlockingIOError:
                    continue
                except ConnectionError:
                    unsent[each] = b""
        # Calls that only use keys go on.
        blob = kms.encrypt(KeyId=key_id, Plaintext=bytes(4096))["CiphertextBlob"]
        assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == bytes(4096)
        wait_until(lambda: sum(is_closed(each, within=0) for each in connections) > 120)
        assert resident_memory(server) - before < 40 * MIB
        with open_connections(server, 12) as more:
            for each in more:
                send_whole(each, UNFINISHED + b"x" * 900_000)
            (refused,) = replies(more[-1:])
            assert refused.throttled
            assert refused.closed
    # The memory is free again.
    large = signed_request_bytes(server, "ListKeys", padded(900_000), "Connection: close")
    with open_connections(server, 1) as one:
        send_whole(one[0], large)
        assert replies(one)[0].status == 200


def test_idle_connections_hold_nothing_of_their_last_requests(start: Start) -> None:
    server = start()
    large = signed_request_bytes(server, "ListKeys", padded(900_000))
    with open_connections(server, 80) as connections:
        for each in connections:
            send_whole(each, large)
            assert replies([each])[0].status == 200
        assert resident_memory(server) < 140 * MIB


@pytest.mark.parametrize("head", [b"GET /healthz?" + b"y" * 31_000 + b" HTTP/1.1\r\n", MANY_HEADERS])
def test_idle_connections_hold_nothing_of_their_last_heads(start: Start, head: bytes) -> None:
    server = start()
    with open_connections(server, 500) as connections:
        for each in connections:
            send_whole(each, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert {reply.status for reply in replies(connections)} == {200}
        before = resident_memory(server)
        for each in connections:
            send_whole(each, head + b"\r\n")
            assert replies([each])[0].status == 200
        assert resident_memory(server) - before < 10 * MIB


def test_large_heads_whose_bodies_never_come(start: Start) -> None:
    server = start(held_bytes=4 * MIB, request_time=600)
    kms = client_of(server)
    with open_connections(server, 500) as connections:
        before = resident_memory(server)
        for each in connections:
            send_whole(each, b"POST / HTTP/1.1\r\nHost: x\r\nA: " + b"y" * 31_000 + b"\r\nContent-Length: 9\r\n\r\n")
        kms.list_keys()
        wait_until(lambda: sum(map(has_reply, connections)) > 200)
        ended = [each for each in connections if has_reply(each)]
        assert all(reply.throttled and reply.closed for reply in replies(ended))
        assert resident_memory(server) - before < 25 * MIB
    # The memory is free again.
    large = signed_request_bytes(server, "ListKeys", padded(900_000), "Connection: close")
    with open_connections(server, 1) as one:
        send_whole(one[0], large)
        assert replies(one)[0].status == 200


def test_a_body_in_the_smallest_pieces(start: Start) -> None:
    """Stored as separate pieces, each would cost twenty times its bytes."""
    server = start()
    before = resident_memory(server)
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    pieces = b"2\r\nab\r\n" * 2_000
    with open_connections(server, 4) as connections:
        for each in connections:
            send_whole(each, head + pieces * 250)
        client_of(server).list_keys()
        assert resident_memory(server) - before < 30 * MIB


@pytest.mark.parametrize("times", [10, 40])
def test_clients_that_never_read(start: Start, times: int) -> None:
    """Few pipelined calls, or more than the server queues: answers that are not read are not produced without end."""
    server = start(request_time=4, held_bytes=8 * MIB)
    kms = client_of(server)
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    policy = json.loads(kms.get_key_policy(KeyId=key_id, PolicyName="default")["Policy"])
    policy["Statement"] += [{**policy["Statement"][0], "Sid": f"{number}-{'x' * 100}"} for number in range(100)]
    kms.put_key_policy(KeyId=key_id, Policy=json.dumps(policy))
    body = json.dumps({"KeyId": key_id, "PolicyName": "default"}).encode()
    request = signed_request_bytes(server, "GetKeyPolicy", body) * times
    before, sockets = resident_memory(server), open_sockets(server)
    peak = 0
    with open_connections(server, 100) as connections:
        end, rounds = time.monotonic() + 2, 0
        while time.monotonic() < end or rounds < 20:
            rounds += 1
            send_all(connections, request)
            peak = max(peak, resident_memory(server))
            kms.describe_key(KeyId=key_id)
        assert peak - before < 60 * MIB
        wait_until(lambda: open_sockets(server) <= sockets)


def test_endless_pipelined_requests(start: Start) -> None:
    server = start(held_bytes=8 * MIB, request_time=4)
    kms = client_of(server)
    before = resident_memory(server)
    peak = 0
    flood = b"GET / HTTP/1.1\r\n\r\n" * 20_000
    with open_connections(server, 100) as connections:
        end = time.monotonic() + 3
        while time.monotonic() < end:
            send_all(connections, flood)
            peak = max(peak, resident_memory(server))
        kms.list_keys()
    assert peak - before < 80 * MIB
    kms.list_keys()
