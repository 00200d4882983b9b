"""More calls at the same time than a worker can do: each gets a correct answer or a ThrottlingException."""

import json
import os
import signal
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path

from audits import audit_records, throttled_records
from clients import client_of
from local_server import RunningServer
from query_requests import unauthenticated_login
from raw_connections import PATIENCE, open_connections, replies, request_bytes, send_all, signed_request_bytes
from server_processes import resident_memory

Start = Callable[..., RunningServer]
MIB = 1024 * 1024
PLACES = 32
ARRIVED = 4096
MESSAGE = "bWVzc2FnZQ=="


def test_two_thousand_connections_that_all_call(start: Start, data: Path) -> None:
    server = start()
    kms = client_of(server)
    mac_key = kms.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]["KeyId"]
    rsa_key = kms.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    mac = kms.generate_mac(KeyId=mac_key, Message=b64decode(MESSAGE), MacAlgorithm="HMAC_SHA_256")["Mac"]
    signature = kms.sign(KeyId=rsa_key, Message=b64decode(MESSAGE), SigningAlgorithm="RSASSA_PKCS1_V1_5_SHA_256")[
        "Signature"
    ]
    mac_body = {"KeyId": mac_key, "Message": MESSAGE, "MacAlgorithm": "HMAC_SHA_256"}
    rsa_body = {"KeyId": rsa_key, "Message": MESSAGE, "SigningAlgorithm": "RSASSA_PKCS1_V1_5_SHA_256"}
    fast = signed_request_bytes(server, "GenerateMac", json.dumps(mac_body).encode())
    slow = signed_request_bytes(server, "Sign", json.dumps(rsa_body).encode())
    refused = 0
    with open_connections(server, 400) as fast_ones, open_connections(server, 1600) as slow_ones:
        for _ in range(2):
            send_all(slow_ones, slow)
            send_all(fast_ones, fast)
            for reply in replies(fast_ones):
                assert reply.throttled or b64decode(json.loads(reply.body)["Mac"]) == mac
            for reply in replies(slow_ones):
                assert reply.throttled or b64decode(json.loads(reply.body)["Signature"]) == signature
                refused += reply.throttled
                # A refused client may continue on its connection.
                assert not reply.closed
        assert resident_memory(server) < 200 * MIB
    # A call refused by a full lane was authenticated, so it leaves a record; one refused by the full queue does not.
    assert throttled_records(data) <= refused
    assert kms.generate_random(NumberOfBytes=8)["Plaintext"]


def test_a_full_lane_refuses_and_records_it(start: Start, data: Path) -> None:
    server = start()
    # More than a lane takes, all received before the first is read.
    request = signed_request_bytes(server, "GenerateDataKeyPairWithoutPlaintext", json.dumps(_pair(server)).encode())
    fast = signed_request_bytes(server, "GenerateRandom", b'{"NumberOfBytes":8}')
    with open_connections(server, 60) as slow_ones, open_connections(server, 10) as fast_ones:
        os.kill(server.process.pid, signal.SIGSTOP)
        send_all(slow_ones, request)
        os.kill(server.process.pid, signal.SIGCONT)
        send_all(fast_ones, fast)
        assert {reply.status for reply in replies(fast_ones)} == {200}
        answers = replies(slow_ones, within=10 * PATIENCE)
    refused = sum(answer.throttled for answer in answers)
    # A key pair that is finished while the requests are still being read frees a place for one more.
    assert 0 < refused <= 60 - PLACES
    assert all(answer.throttled or answer.status == 200 for answer in answers)
    assert throttled_records(data) == refused


def test_unauthenticated_calls_take_few_places_and_do_not_fill_the_disk(start: Start, data: Path) -> None:
    server = start()
    request = request_bytes(unauthenticated_login(), "Host: x")
    with open_connections(server, 200) as connections:
        os.kill(server.process.pid, signal.SIGSTOP)
        send_all(connections, request)
        os.kill(server.process.pid, signal.SIGCONT)
        answers = replies(connections)
    assert all(answer.status == 400 for answer in answers)
    refused = sum(b"<Code>Throttling</Code>" in answer.body for answer in answers)
    assert refused > 0
    names = [each["eventName"] for each in audit_records(data)]
    assert names.count("AssumeRoleWithWebIdentity") == len(answers) - refused


def _pair(server: RunningServer) -> dict[str, str]:
    key_id = client_of(server).create_key()["KeyMetadata"]["KeyId"]
    return {"KeyId": key_id, "KeyPairSpec": "RSA_2048"}


def test_the_queue_of_requests_is_bounded(start: Start, data: Path) -> None:
    server = start()
    before = len(audit_records(data))
    request = signed_request_bytes(server, "GenerateRandom", b'{"NumberOfBytes":8}')
    health = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    with open_connections(server, 2 * ARRIVED) as connections, open_connections(server, 20) as probes:
        # Make sure that all are accepted.
        send_all(connections, health)
        assert {reply.body for reply in replies(connections)} == {b"ok\n"}
        os.kill(server.process.pid, signal.SIGSTOP)
        send_all(connections, request)
        send_all(probes, health)
        os.kill(server.process.pid, signal.SIGCONT)
        answers = replies(connections)
        assert {reply.body for reply in replies(probes)} == {b"ok\n"}
        done = sum(answer.status == 200 for answer in answers)
        assert ARRIVED - len(probes) <= done < len(connections)
        assert all(answer.throttled and not answer.closed for answer in answers if answer.status != 200)
        # The signatures of the others were not verified.
        assert len(audit_records(data)) - before == done
        send_all(connections[:100], request)
        assert {reply.status for reply in replies(connections[:100])} == {200}
