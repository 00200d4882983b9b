"""Measures hello-world on the HTTP fronts that ADR 2 chose between: CPU for one request, interleaved, medians."""

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from load import Request, ask, drive
from measure import Load, machine
from servers import serving

HERE = Path(__file__).parent / "fronts"
BIN = Path(sys.executable).parent
ROUNDS = 5
SECONDS = 3

PROTOCOL = [sys.executable, str(HERE / "protocol.py")]
GRANIAN = [
    *(str(BIN / "granian"), "--port", "PORT", "--working-dir", str(HERE), "--loop", "uvloop", "--http", "1"),
    *("--workers", "1", "--no-ws", "--no-access-log", "--log-level", "warning"),
]

# Each front with its cheapest settings for this work. The first is the one that the others are compared with.
FRONTS = {
    "asyncio.Protocol, uvloop + httptools": [*PROTOCOL, "uvloop", "PORT"],
    "asyncio.Protocol, asyncio + httptools": [*PROTOCOL, "asyncio", "PORT"],
    "uvicorn, uvloop + httptools": [
        *(str(BIN / "uvicorn"), "asgi:app", "--app-dir", str(HERE), "--port", "PORT"),
        *("--loop", "uvloop", "--http", "httptools", "--lifespan", "off", "--ws", "none"),
        *("--no-proxy-headers", "--no-server-header", "--no-access-log", "--log-level", "warning"),
    ],
    "granian RSGI, 1 worker": [*GRANIAN, "--interface", "rsgi", "rsgi:app"],
    "granian ASGI, 1 worker": [*GRANIAN, "--interface", "asginl", "asgi:app"],
}
WITH_TLS = "asyncio.Protocol, uvloop + httptools, TLS 1.3"

HELLO = Request(
    "POST",
    "/",
    {
        "X-Amz-Target": "TrentService.Encrypt",
        "Content-Type": "application/x-amz-json-1.1",
        "Authorization": "AWS4-HMAC-SHA256 Credential=" + "x" * 200,
        "X-Amz-Date": "20260101T000000Z",
        "User-Agent": "hello",
    },
    b'{"Plaintext":"%s"}' % (b"A" * 824),
)


def run(command: list[str], folder: Path, certificate: Path | None = None) -> Load:
    """Start a front, see that it answers as agreed, warm it up and measure it."""
    with serving(command, folder / "log") as server:
        reply = ask(server, HELLO, certificate)
        assert reply.status == 200
        assert 280 <= len(reply.body) <= 320
        assert "x-amzn-requestid" in reply.headers
        drive(server, [HELLO], 1, tls=certificate is not None)
        return drive(server, [HELLO], SECONDS, tls=certificate is not None)


def self_signed(folder: Path) -> tuple[Path, Path]:
    """Make a certificate for 127.0.0.1, and its key."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    command = [
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-days", "1", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
        *("-out", str(certificate), "-keyout", str(key)),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def measured(folder: Path) -> dict[str, list[Load]]:
    """Run every front once a round, so that other load on the machine affects all alike."""
    certificate, key = self_signed(folder)
    results: dict[str, list[Load]] = {name: [] for name in (*FRONTS, WITH_TLS)}
    for _ in range(ROUNDS):
        for name, command in FRONTS.items():
            results[name].append(run(command, folder))
        secure = [*PROTOCOL, "uvloop", "PORT", str(certificate), str(key)]
        results[WITH_TLS].append(run(secure, folder, certificate))
    return results


def row(name: str, loads: list[Load], first: list[Load]) -> str:
    """Return a line of the table; the ratio is the median of the rounds' ratios."""
    costs = [each.cpu_each for each in loads]
    cpu, rate, p50, p99 = (
        statistics.median(getattr(each, figure) for each in loads)
        for figure in ("cpu_each", "per_second", "p50", "p99")
    )
    ratio = statistics.median(each.cpu_each / floor.cpu_each for each, floor in zip(loads, first, strict=True))
    errors = sum(each.errors for each in loads)
    return (
        f"| {name} | {cpu:.1f} | {min(costs):.1f}-{max(costs):.1f} | {ratio:.2f} | {rate:,.0f} "
        f"| {p50:.0f} | {p99:.0f} | {errors} |"
    )


def main() -> None:
    print(f"{machine()}; {Path(sys.executable).resolve()}")
    print(f"wrk, 1 thread, 32 connections, {ROUNDS} interleaved rounds of {SECONDS} s, medians\n")
    with tempfile.TemporaryDirectory() as scratch:
        results = measured(Path(scratch))
    print("| Front | CPU µs a request | min-max | ratio | requests/s | p50 µs | p99 µs | errors |")
    print("|---|---|---|---|---|---|---|---|")
    first = results[next(iter(FRONTS))]
    for name, loads in results.items():
        print(row(name, loads, first))


if __name__ == "__main__":
    main()
