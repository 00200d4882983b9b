"""Runs AWS's test client for external key store proxies against a proxy on a free port: over HTTP, then over TLS."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from local_server import RunningServer, running_server

TESTS = 49
PREFIX = "example/uri/path/prefix"
ACCOUNT = "000000000000"
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
            "Action": "kms:*",
            "Resource": "*",
        },
        {
            "Effect": "Allow",
            "Principal": {"Service": "xks-proxy.strongroom.amazonaws.com"},
            "Action": ["kms:DescribeKey", "kms:Encrypt", "kms:Decrypt"],
            "Resource": "*",
        },
    ],
}
KEYS = {
    "foo": ("encrypt", "decrypt"),
    "encrypt_only_key": ("encrypt",),
    "decrypt_only_key": ("decrypt",),
    "impotent_key": ("none",),
}


def strongroom(data: Path, *command: str) -> str:
    """Run a command on a data folder; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "strongroom", "xks-proxy", *command, "--data", str(data)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout


def make_proxy(server: RunningServer, data: Path) -> Mapping[str, str]:
    """Make a proxy with the keys that the client wants; return the client's variables."""
    create = ("create-key", "--policy", json.dumps(POLICY), "--query", "KeyMetadata.KeyId", "--output", "text")
    key_id = subprocess.run(
        ["aws", "kms", *create], env=server.environment, check=True, stdout=subprocess.PIPE, text=True
    ).stdout.strip()
    strongroom(data, "add", PREFIX, "--account", ACCOUNT, "--region", "us-east-1")
    strongroom(data, "credential", "add", PREFIX)
    for external_id, usages in KEYS.items():
        options = [option for usage in usages for option in ("--usage", usage)]
        strongroom(data, "key", "add", PREFIX, external_id, key_id, *options)
    credential = json.loads(strongroom(data, "export", PREFIX))["XksProxyAuthenticationCredential"]
    return {
        "URI_PREFIX": PREFIX,
        "SIGV4_ACCESS_KEY_ID": credential["AccessKeyId"],
        "SIGV4_SECRET_ACCESS_KEY": credential["RawSecretAccessKey"],
        "REGION": "us-east-1",
        "ANSI_ESCAPE": "0",
    }


@contextmanager
def serving(data: Path, log: Path, *options: str) -> Iterator[str]:
    """Serve the proxies of a data folder on a free port; yield the address."""
    command = [sys.executable, "-m", "strongroom", "xks-proxy", "serve", "--data", str(data)]
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [*command, "--listen", "127.0.0.1:0", *options], stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        try:
            line = "" if process.stdout is None else process.stdout.readline()
            if "://" not in line:
                raise SystemExit(f"the proxy did not start: {log.read_text()}")
            yield line.strip().rpartition("://")[2]
        finally:
            process.terminate()


@contextmanager
def uuidgen(folder: Path) -> Iterator[str]:
    """Yield a PATH that has ``uuidgen``, which the client needs and does not check for."""
    path = os.environ["PATH"]
    if shutil.which("uuidgen") is None:
        program = folder / "uuidgen"
        program.write_text("#!/bin/sh\ncat /proc/sys/kernel/random/uuid\n")
        program.chmod(0o755)
        path = f"{folder}:{path}"
    yield path


def passed(client: Path, variables: Mapping[str, str], what: str) -> bool:
    """Run the client and print how many of its tests pass; return whether all do."""
    done = subprocess.run(
        ["./test-xks-proxy", "-a"],
        cwd=client,
        env={**os.environ, **variables},
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    failures = [line for line in done.stdout.splitlines() if "FAILED" in line]
    found = re.search(rf"All {TESTS} tests PASSED", done.stdout) is not None
    print(f"{what}: {done.stdout.strip().splitlines()[-1]}")
    for line in failures[:-1]:
        print(f"  {line.strip()}")
    return found


def self_signed(folder: Path) -> tuple[Path, Path]:
    """Make a certificate for localhost; return it and its key."""
    certificate, key = folder / "proxy.pem", folder / "proxy.key"
    name = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
    kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1")
    made = ("-keyout", str(key), "-out", str(certificate))
    subprocess.run(["openssl", "req", "-x509", *kind, *name, *made], check=True, capture_output=True)
    return certificate, key


def main() -> None:
    """Run the client twice; exit with 1 unless all tests pass."""
    client = Path(sys.argv[1]).absolute()
    with tempfile.TemporaryDirectory(prefix="strongroom-xks-") as scratch:
        folder = Path(scratch)
        data = folder / "data"
        with running_server(data, folder / "server.log") as server, uuidgen(folder) as path:
            variables = {**make_proxy(server, data), "PATH": path}
            with serving(data, folder / "http.log") as address:
                plain = passed(client, {**variables, "XKS_PROXY_HOST": address, "SCHEME": "http://"}, "HTTP")
            certificate, key = self_signed(folder)
            options = ("--tls-cert", str(certificate), "--tls-key", str(key))
            with serving(data, folder / "https.log", *options) as address:
                host = f"localhost:{address.rpartition(':')[2]}"
                trusted = {"XKS_PROXY_HOST": host, "SCHEME": "https://", "CURL_CA_BUNDLE": str(certificate)}
                secure = passed(client, {**variables, **trusted}, "HTTPS")
    sys.exit(not (plain and secure))


if __name__ == "__main__":
    main()
