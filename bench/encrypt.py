"""CPU for one signed, authorized, audited call, beside hello-world on the same HTTP front, in one run.

Requests are signed by botocore before the load starts and are all different; a sample of the answers is decrypted, and
the audit log must have a line for each call.
"""

import base64
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

import http_fronts
from load import Request, drive
from local_server import RunningServer, running_server
from measure import Load, machine
from servers import Server

ROUNDS = 3
SECONDS = 4
PREPARED = 2000
CONTEXT = {"department": "payroll", "year": "2026"}


def prepare(server: RunningServer, operation: str, bodies: list[str]) -> list[Request]:
    """Return requests as botocore signs them."""
    credentials = boto3.Session().get_credentials()
    assert credentials is not None
    prepared = []
    for body in bodies:
        headers = {"X-Amz-Target": f"TrentService.{operation}", "Content-Type": "application/x-amz-json-1.1"}
        request = AWSRequest("POST", server.endpoint + "/", {**headers, "User-Agent": "bench"}, body)
        SigV4Auth(credentials, "kms", "us-east-1").add_auth(request)
        prepared.append(Request("POST", "/", dict(request.headers.items()), body.encode()))
    return prepared


def bodies(server: RunningServer) -> dict[str, list[str]]:
    """Return the bodies of the calls that are measured."""
    os.environ.update(server.environment)
    kms = boto3.Session().client("kms")
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    plain = [base64.b64encode(b"%064d" % number).decode() for number in range(PREPARED)]
    blobs = [kms.encrypt(KeyId=key_id, Plaintext=b"%064d" % n, EncryptionContext=CONTEXT) for n in range(50)]
    assert (
        kms.decrypt(CiphertextBlob=blobs[7]["CiphertextBlob"], EncryptionContext=CONTEXT)["Plaintext"] == b"%064d" % 7
    )
    sealed = [base64.b64encode(blob["CiphertextBlob"]).decode() for blob in blobs]
    return {
        "Encrypt": [json.dumps({"KeyId": key_id, "Plaintext": p, "EncryptionContext": CONTEXT}) for p in plain],
        "Decrypt": [json.dumps({"CiphertextBlob": blob, "EncryptionContext": CONTEXT}) for blob in sealed],
        "GenerateDataKey": [json.dumps({"KeyId": key_id, "KeySpec": "AES_256", "EncryptionContext": CONTEXT})],
        "DescribeKey": [json.dumps({"KeyId": key_id})],
    }


def measure(durability: str, folder: Path, results: dict[str, list[Load]]) -> None:
    data = folder / f"data-{durability}-{len(results.get(f'Encrypt, {durability}', []))}"
    with running_server(data, folder / "log", "--durability", durability) as server:
        address = Server(server.process.pid, urlsplit(server.endpoint).port or 0)
        calls = 0
        for operation, each in bodies(server).items():
            requests = prepare(server, operation, each)
            drive(address, requests, folder, seconds=1)
            result = drive(address, requests, folder, seconds=SECONDS)
            results.setdefault(f"{operation}, {durability}", []).append(result)
            calls += result.requests
        assert server.stop() == 0
    lines = 0
    for path in (data / "audit").iterdir():
        with path.open("rb") as log:
            lines += sum(1 for _ in log)
        path.unlink()
    assert lines >= calls, "every call leaves a record"


def main() -> None:
    print(f"{machine()}; wrk, 32 connections, {ROUNDS} interleaved rounds of {SECONDS} s, medians; {sys.executable}\n")
    results: dict[str, list[Load]] = {"hello-world": []}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for _ in range(ROUNDS):
            results["hello-world"].append(http_fronts.run(next(iter(http_fronts.FRONTS.values())), folder))
            for durability in ("write", "fsync"):
                measure(durability, folder, results)
    floor = statistics.median(each.cpu_each for each in results["hello-world"])
    print("| Call | CPU µs | of hello-world | requests/s | p50 µs | p99 µs | errors |\n|---|---|---|---|---|---|---|")
    for name, loads in results.items():
        cpu, rate, p50, p99 = (
            statistics.median(getattr(each, figure) for each in loads)
            for figure in ("cpu_each", "per_second", "p50", "p99")
        )
        errors = sum(each.errors for each in loads)
        print(f"| {name} | {cpu:.1f} | {cpu / floor:.1f} | {rate:,.0f} | {p50:.0f} | {p99:.0f} | {errors} |")
        if errors:
            raise SystemExit("there were errors")


if __name__ == "__main__":
    main()
