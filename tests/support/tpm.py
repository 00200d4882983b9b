"""A TPM 2.0 in software (swtpm), for one test. Its state is in a folder of the test, its ports are free ones."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from free_ports import free_port
from programs import program


class SoftwareTpm:
    """A TPM that can be stopped and started, as a machine is: its registers are then as at the start."""

    def __init__(self, state: Path) -> None:
        self._state = state
        state.mkdir()
        # The other end of the software expects the second of the two after the first.
        self._port = free_port(together=2)
        # The libraries read it when they first have something to say, and that may be for a call of a test itself.
        os.environ.setdefault("TSS2_LOG", "all+NONE")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def device(self) -> str:
        """The TCTI by which it is reached."""
        return f"swtpm:host=127.0.0.1,port={self._port}"

    def start(self) -> None:
        """Start it; returns when it answers."""
        self._process = subprocess.Popen(
            [
                *(program("swtpm", "swtpm"), "socket", "--tpm2", "--tpmstate", f"dir={self._state}"),
                *("--ctrl", f"type=tcp,port={self._port + 1}", "--server", f"type=tcp,port={self._port}"),
                *("--flags", "not-need-init,startup-clear"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 120
        while not _listens(self._port + 1):
            assert self._process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def clear(self) -> None:
        """Make another TPM of it, with another owner seed."""
        self.stop()
        for each in self._state.iterdir():
            each.unlink()
        self.start()

    def drop_sha1(self) -> None:
        """Keep no SHA-1 registers from the next start on, as many TPMs do."""
        from tpm2_pytss import ESAPI, TPM2_ALG, TPML_PCR_SELECTION, TPMS_PCR_SELECTION  # noqa: PLC0415 - an extra

        none = TPMS_PCR_SELECTION(hash=TPM2_ALG.SHA1, sizeofSelect=3, pcrSelect=bytes(3))
        with ESAPI(self.device) as tpm:
            tpm.pcr_allocate(TPML_PCR_SELECTION([none]))
        self.stop()
        self.start()

    def extend(self, register: int) -> None:
        """Change a register, as another kernel does when it starts."""
        from tpm2_pytss import ESAPI, ESYS_TR, TPM2_ALG, TPML_DIGEST_VALUES, TPMT_HA, TPMU_HA  # noqa: PLC0415 - an extra

        value = TPMT_HA(hashAlg=TPM2_ALG.SHA256, digest=TPMU_HA(sha256=bytes(31) + b"\1"))
        with ESAPI(self.device) as tpm:
            tpm.pcr_extend(ESYS_TR.PCR0 + register, TPML_DIGEST_VALUES([value]))


@contextmanager
def software_tpm(state: Path) -> Iterator[SoftwareTpm]:
    """Run a TPM for the time of a block."""
    tpm = SoftwareTpm(state)
    tpm.start()
    try:
        yield tpm
    finally:
        tpm.stop()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
