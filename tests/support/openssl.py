"""The ``openssl`` command, run on files in a folder."""

import subprocess
from pathlib import Path

from programs import program


class OpenSsl:
    """Runs ``openssl`` in a folder. Keys are files in DER, as the API returns them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *arguments: str) -> bytes:
        """Run a command that must succeed; return its standard output."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def run(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """Run a command."""
        command = [program("openssl", "openssl"), *arguments]
        return subprocess.run(command, cwd=self.folder, capture_output=True, check=False)

    def write(self, name: str, content: bytes) -> str:
        """Write a file for the next command; return its name."""
        (self.folder / name).write_bytes(content)
        return name

    def read(self, name: str) -> bytes:
        """Read a file that a command wrote."""
        return (self.folder / name).read_bytes()
