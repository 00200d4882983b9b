"""Certificates and keys that OpenSSL makes for a test, as an operator makes them."""

import subprocess
from pathlib import Path

import msgspec

EC = ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")
RSA = ("rsa:2048",)


class Pair(msgspec.Struct, frozen=True):
    """A certificate and its private key, both PEM files."""

    certificate: Path
    key: Path

    @property
    def options(self) -> tuple[str, ...]:
        """The options of ``strongroom serve``."""
        return "--tls-cert", str(self.certificate), "--tls-key", str(self.key)


def run_openssl(*arguments: str) -> None:
    """Run a command of OpenSSL that must succeed."""
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def self_signed(folder: Path, name: str, *, kind: tuple[str, ...] = EC, days: int = 365) -> Pair:
    """Make a certificate for 127.0.0.1 that is its own authority, valid for ``days`` from now."""
    folder.mkdir(exist_ok=True)
    pair = Pair(folder / f"{name}.pem", folder / f"{name}.key")
    run_openssl(
        *("req", "-x509", "-newkey", *kind, "-nodes", "-days", str(days), "-subj", f"/CN={name}"),
        *("-addext", "subjectAltName=IP:127.0.0.1,IP:::1", "-keyout", str(pair.key), "-out", str(pair.certificate)),
    )
    return pair


def signed_by(authority: Pair, folder: Path, name: str, *, names: str = "") -> Pair:
    """Make a certificate of an authority: for a client, or with ``names`` (``DNS:...,IP:...``) for a server."""
    pair, request = Pair(folder / f"{name}.pem", folder / f"{name}.key"), folder / f"{name}.csr"
    made = ("-keyout", str(pair.key), "-out", str(request))
    for_server = ("-addext", f"subjectAltName={names}") if names else ()
    run_openssl("req", "-new", "-newkey", *EC, "-nodes", "-subj", f"/CN={name}", *for_server, *made)
    by = ("-CA", str(authority.certificate), "-CAkey", str(authority.key), "-CAcreateserial", "-days", "365")
    kept = ("-copy_extensions", "copy", "-out", str(pair.certificate))
    run_openssl("x509", "-req", "-in", str(request), *by, *kept)
    return pair
