"""moto's server, a test double: it verifies no signature and keeps no record."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from sysconfig import get_path

from botocore.credentials import Credentials

from contender import Contender
from kms_calls import Kms, encrypt
from servers import serving


@contextmanager
def moto(folder: Path) -> Iterator[Contender]:
    """Run a server with one key."""
    command = [f"{get_path('scripts')}/moto_server", "--host", "127.0.0.1", "--port", "PORT"]
    with serving(command, folder / "moto.log") as server:
        kms = Kms(f"http://127.0.0.1:{server.port}", Credentials("testing", "testing"))
        key_id = kms.client().create_key()["KeyMetadata"]["KeyId"]
        yield Contender("moto", server, [encrypt(kms, key_id)])
