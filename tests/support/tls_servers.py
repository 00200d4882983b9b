"""A server whose certificate is from a private authority, as operators have them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local_server import RunningServer, running_server
from tls_files import self_signed, signed_by

AWS_NAMES = ("kms.us-east-1.amazonaws.com", "sts.amazonaws.com", "sts.us-east-1.amazonaws.com", "iam.amazonaws.com")
"""Names of AWS's hosts that the certificate also has, for programs that have no setting for an endpoint."""


@contextmanager
def running_tls_server(folder: Path) -> Iterator[RunningServer]:
    """Run one in a folder, for us-east-1. ``AWS_CA_BUNDLE`` of its environment names the authority."""
    authority = self_signed(folder, "authority")
    names = ",".join(["IP:127.0.0.1", *(f"DNS:{name}" for name in AWS_NAMES)])
    pair = signed_by(authority, folder, "server", names=names)
    with running_server(folder / "data", folder / "log", *pair.options, "--region", "us-east-1") as server:
        server.environment["AWS_CA_BUNDLE"] = str(authority.certificate)
        yield server
        assert server.stop() == 0
    log = (folder / "log").read_text()
    assert "Traceback" not in log
    assert "ERROR" not in log
