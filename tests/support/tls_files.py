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


def signed_by(authority: Pair, folder: Path, name: str) -> Pair:
    """Make a certificate of an authority for a client."""
    pair, request = Pair(folder / f"{name}.pem", folder / f"{name}.key"), folder / f"{name}.csr"
    made = ("-keyout", str(pair.key), "-out", str(request))
    run_openssl("req", "-new", "-newkey", *EC, "-nodes", "-subj", f"/CN={name}", *made)
    by = ("-CA", str(authority.certificate), "-CAkey", str(authority.key), "-CAcreateserial", "-days", "365")
    run_openssl("x509", "-req", "-in", str(request), *by, "-out", str(pair.certificate))
    return pair


def server_of(authority: Pair, folder: Path, name: str) -> Pair:
    """Make a certificate of an authority for a server at 127.0.0.1."""
    pair, request = Pair(folder / f"{name}.pem", folder / f"{name}.key"), folder / f"{name}.csr"
    names = ("-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1")
    run_openssl("req", "-new", "-newkey", *EC, "-nodes", *names, "-keyout", str(pair.key), "-out", str(request))
    by = ("-CA", str(authority.certificate), "-CAkey", str(authority.key), "-CAcreateserial", "-days", "365")
    run_openssl("x509", "-req", "-in", str(request), *by, "-copy_extensions", "copy", "-out", str(pair.certificate))
    return pair
