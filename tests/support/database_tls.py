"""TLS and SCRAM of a database server in tests: an authority, its certificates, and what the server asks of a role."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from postgresql import SERVER, Cluster
from strongroom.clock import SystemClock

_DAY = timedelta(days=1)
_HOSTS = """
host all postgres,strongroom_migrate 127.0.0.1/32 trust
{kind} all strongroom_serve 127.0.0.1/32 scram-sha-256
"""


class Authority:
    """An authority that a test trusts; ``certificate`` is the file with its certificate."""

    def __init__(self, folder: Path, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = self._builder(self._name, self._key, 365 * _DAY)
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.certificate = folder / f"{name}.pem"
        self.certificate.write_bytes(made.sign(self._key, SHA256()).public_bytes(Encoding.PEM))

    def server(self, host: str = "127.0.0.1", *, ends: timedelta = 30 * _DAY) -> tuple[bytes, bytes]:
        """Return the certificate of a server at an address, valid until ``ends`` from now, and its key, both PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = self._builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "database")]), key, ends)
        made = made.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))]), critical=False)
        return (
            made.sign(self._key, SHA256()).public_bytes(Encoding.PEM),
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        )

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, ends: timedelta) -> x509.CertificateBuilder:
        now = datetime.fromtimestamp(SystemClock().now(), UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 10 * _DAY)
            .not_valid_after(now + ends)
        )


def use_certificate(cluster: Cluster, pair: tuple[bytes, bytes]) -> None:
    """Give the server a certificate and a key, from its next connection on."""
    for name, content in zip(("server.crt", "server.key"), pair, strict=True):
        cluster.put(name, content)
    cluster.run("ALTER SYSTEM SET ssl = on")
    cluster.reload()


def require_scram(cluster: Cluster, *, tls: bool) -> None:
    """Have the role of servers log in with a password by SCRAM, over TLS alone or without it."""
    cluster.put("pg_hba.conf", _HOSTS.format(kind="hostssl" if tls else "hostnossl").encode())
    cluster.reload()


def set_password(cluster: Cluster, password: str) -> None:
    """Set the password of the role of servers, and end its connections."""
    cluster.run(f"ALTER ROLE {SERVER} PASSWORD '{password}'")
    end_connections(cluster)


def end_connections(cluster: Cluster) -> None:
    """End all connections of the role of servers."""
    cluster.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{SERVER}'")  # noqa: S608 - ours
