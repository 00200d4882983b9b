"""Traces of a real server, as a receiver gets them, and without a receiver."""

import contextlib
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from client_errors import error_code_of
from clients import client_of, client_with, credentials_of, send, signed
from local_server import RunningServer, running_server
from trace_receiver import Receiver, attributes_of

TRACE_ID, PARENT_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PLAINTEXT = b"Attack at dawn, by the north gate"
CONTEXT = {"purpose": "a context that is not traced"}


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    # Spans are sent at once, not after five seconds.
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    with Receiver() as receiver:
        yield receiver


@contextlib.contextmanager
def tracing_server(folder: Path, url: str) -> Iterator[RunningServer]:
    (folder / "strongroom.toml").write_text(f'traces = "{url}"\n')
    options = ("--config", str(folder / "strongroom.toml"))
    with running_server(folder / "data", folder / "log", *options) as server:
        yield server


def named(spans: list[Span], name: str) -> list[Span]:
    return [span for span in spans if span.name == name]


def test_every_call_is_a_span_with_its_parts(tmp_path: Path, receiver: Receiver) -> None:
    with tracing_server(tmp_path, receiver.url) as server:
        kms = client_of(server)
        begun = time.time_ns()
        made = kms.create_key()
        key_id = made["KeyMetadata"]["KeyId"]
        blob = kms.encrypt(KeyId=key_id, Plaintext=PLAINTEXT, EncryptionContext=CONTEXT)["CiphertextBlob"]
        assert error_code_of(kms.decrypt, CiphertextBlob=blob) == "InvalidCiphertextException"
        client_with(server, "sts", credentials_of(server)).get_caller_identity()
        # On a thread of its own.
        kms.generate_data_key_pair(KeyId=key_id, KeyPairSpec="RSA_2048")
        ended = time.time_ns()
        assert server.stop() == 0
    assert "ERROR" not in (tmp_path / "log").read_text()
    spans = receiver.spans()
    calls = [span for span in spans if span.kind == Span.SPAN_KIND_SERVER]
    assert [span.name for span in calls] == [
        "KMS/CreateKey",
        "KMS/Encrypt",
        "KMS/Decrypt",
        "STS/GetCallerIdentity",
        "KMS/GenerateDataKeyPair",
    ]
    assert attributes_of(calls[0]) == {
        "rpc.system": "aws-api",
        "rpc.service": "KMS",
        "rpc.method": "CreateKey",
        "aws.request_id": made["ResponseMetadata"]["RequestId"],
    }
    assert [attributes_of(span).get("error.type") for span in calls] == [
        *(None, None, "InvalidCiphertextException", None, None),
    ]
    assert all(span.status.code == Status.STATUS_CODE_UNSET for span in calls)
    for call in calls:
        assert not call.parent_span_id
        parts = [span for span in spans if span.parent_span_id == call.span_id]
        assert [part.name for part in parts] == ["perform", "audit flush"]
        perform, flush = parts
        times = [call.start_time_unix_nano, perform.start_time_unix_nano, perform.end_time_unix_nano]
        times += [flush.start_time_unix_nano, flush.end_time_unix_nano, call.end_time_unix_nano]
        # Two clocks, read one after the other.
        assert all(before <= after + 1_000_000 for before, after in pairwise(times))
        assert begun - 50_000_000 < times[0] <= times[-1] < ended + 50_000_000
    resource = receiver.requests()[0].resource_spans[0].resource
    described = {each.key: each.value.string_value for each in resource.attributes}
    assert (described["service.name"], described["service.instance.id"]) == ("strongroom", "w0")
    sent = b"".join(receiver.bodies)
    for secret in (PLAINTEXT, CONTEXT["purpose"].encode(), key_id.encode(), b"AKIA", b"arn:aws", blob[:16]):
        assert secret not in sent


def test_the_traceparent_of_a_request_is_its_parent(tmp_path: Path, receiver: Receiver) -> None:
    with tracing_server(tmp_path, receiver.url) as server:
        for header in (f"00-{TRACE_ID}-{PARENT_ID}-01", f"00-{TRACE_ID}-{PARENT_ID}-00", "00-nonsense", "\xff" * 1000):
            assert send(server, signed(server, more={"traceparent": header, "tracestate": "a=b,,=,"})).status == 200
        # Unauthenticated calls are traced, too.
        unsigned = signed(server)
        del unsigned.headers["Authorization"]
        unsigned.headers["traceparent"] = f"00-{TRACE_ID}-{PARENT_ID}-01"
        assert send(server, unsigned).status == 400
        assert server.stop() == 0
    assert "ERROR" not in (tmp_path / "log").read_text()
    calls = named(receiver.spans(), "KMS/ListKeys")
    # The parent of the second is not sampled.
    assert [(span.trace_id.hex() == TRACE_ID, span.parent_span_id.hex()) for span in calls] == [
        (True, PARENT_ID),
        (False, ""),
        (False, ""),
        (True, PARENT_ID),
    ]
    assert attributes_of(calls[-1])["error.type"] == "MissingAuthenticationTokenException"


def test_spans_come_while_the_server_runs(tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "keys")
    with tracing_server(tmp_path, receiver.url) as server:
        client_of(server).list_keys()
        receiver.await_spans(lambda spans: len(spans) == 3)
        assert b"keys" in receiver.bodies[0]
        assert b"strongroom" in receiver.bodies[0]


@pytest.mark.parametrize("hangs", [False, True])
def test_a_receiver_that_does_not_answer_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, hangs: bool
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "64")
    with contextlib.closing(socket.socket()) as silent:
        silent.bind(("127.0.0.1", 0))
        if hangs:
            silent.listen(100)
        with tracing_server(tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}/v1/traces") as server:
            kms = client_of(server)
            key_id = kms.create_key()["KeyMetadata"]["KeyId"]
            begun = time.monotonic()
            for _ in range(300):
                kms.encrypt(KeyId=key_id, Plaintext=b"x")
            assert time.monotonic() - begun < 60
            begun = time.monotonic()
            assert server.stop() == 0
            assert time.monotonic() - begun < 40
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log
    assert len(log.splitlines()) <= 2


def test_without_the_extra_the_start_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['opentelemetry'] = None\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    (tmp_path / "strongroom.toml").write_text('traces = "http://127.0.0.1:4318/v1/traces"\n')
    command = [sys.executable, "-m", "strongroom", "serve", "--listen", "127.0.0.1:0"]
    for workers in ("1", "2"):
        done = subprocess.run(
            [*command, "--workers", workers], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 1, workers
        assert re.search(r"Error: .*`traces` needs .*pip install 'strongroom\[otel\]'", done.stderr)
        assert "Traceback" not in done.stderr
