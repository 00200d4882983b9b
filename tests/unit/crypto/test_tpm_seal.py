"""The seal ``tpm``, with a TPM in software: what opens it, what does not, and what is said then."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom.crypto.seal import SealUnavailableError, UnsealError
from strongroom.crypto.seals import tpm as module
from strongroom.crypto.seals.tpm import TpmKeeper
from strongroom.entropy import system_entropy
from tpm import SoftwareTpm, software_tpm

pytest.importorskip("tpm2_pytss", reason="tpm2-pytss is missing; `make test` installs it (tools/venv tpm)")

ROOT_KEY, BINDING = bytes(range(32)), b"deployment 1"
PCRS = "sha256:0,7"


@pytest.fixture
def tpm(tmp_path: Path) -> Iterator[SoftwareTpm]:
    with software_tpm(tmp_path / "tpm") as tpm:
        yield tpm


def keeper(tpm: SoftwareTpm, **more: str) -> TpmKeeper:
    return TpmKeeper({"device": tpm.device, **more}, system_entropy)


@pytest.mark.parametrize("more", [{}, {"pcrs": PCRS}], ids=["any start", "the same start"])
def test_the_same_tpm_opens_it_also_after_a_restart(tpm: SoftwareTpm, more: dict[str, str]) -> None:
    wrapped = keeper(tpm, **more).wrap(ROOT_KEY, BINDING)
    assert ROOT_KEY not in wrapped
    # More often than there is room for what is not removed from the TPM.
    for _ in range(5):
        assert keeper(tpm, **more).unwrap(wrapped, BINDING) == ROOT_KEY
    tpm.stop()
    tpm.start()
    assert keeper(tpm, **more).unwrap(wrapped, BINDING) == ROOT_KEY
    assert wrapped != keeper(tpm, **more).wrap(ROOT_KEY, BINDING)


def test_another_start_does_not_open_one_with_registers(tpm: SoftwareTpm) -> None:
    anywhere, here = keeper(tpm), keeper(tpm, pcrs=PCRS)
    wrapped, bound = anywhere.wrap(ROOT_KEY, BINDING), here.wrap(ROOT_KEY, BINDING)
    tpm.extend(4)
    assert here.unwrap(bound, BINDING) == ROOT_KEY
    tpm.extend(7)
    with pytest.raises(
        UnsealError, match=r"has not started as it had when the seal was made: its registers sha256:0,7"
    ):
        here.unwrap(bound, BINDING)
    # Nor without naming the registers: the empty password is of no use.
    with pytest.raises(UnsealError):
        anywhere.unwrap(bound, BINDING)
    assert anywhere.unwrap(wrapped, BINDING) == ROOT_KEY


def test_another_tpm_does_not_open_it(tpm: SoftwareTpm) -> None:
    wrapped = keeper(tpm).wrap(ROOT_KEY, BINDING)
    tpm.clear()
    with pytest.raises(UnsealError, match="another TPM has made it, or this one was cleared since"):
        keeper(tpm).unwrap(wrapped, BINDING)


def test_one_bit_that_is_changed_is_noticed(tpm: SoftwareTpm) -> None:
    wrapped = keeper(tpm).wrap(ROOT_KEY, BINDING)
    for place in (0, 1, 5, 40, 120, 170, 200, 240, 260, len(wrapped) - 1):
        changed = bytearray(wrapped)
        changed[place] ^= 1
        with pytest.raises(UnsealError):
            keeper(tpm).unwrap(bytes(changed), BINDING)
    for length in (0, 3, 4, 100, 250, len(wrapped) - 1):
        with pytest.raises(UnsealError):
            keeper(tpm).unwrap(wrapped[:length], BINDING)
    with pytest.raises(UnsealError, match="bound to something else"):
        keeper(tpm).unwrap(wrapped, b"deployment 2")


def test_a_tpm_that_is_away_may_be_back_later(tpm: SoftwareTpm, capfd: pytest.CaptureFixture[str]) -> None:
    wrapped = keeper(tpm).wrap(ROOT_KEY, BINDING)
    tpm.stop()
    with pytest.raises(SealUnavailableError, match=r"the TPM at `swtpm:.*` does not answer"):
        keeper(tpm).unwrap(wrapped, BINDING)
    with pytest.raises(SealUnavailableError, match="the TPM at `device:/dev/none` does not answer"):
        TpmKeeper({"device": "device:/dev/none"}, system_entropy).wrap(ROOT_KEY, BINDING)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "pcrs", ["7", "sha256", "sha256:", "sha256:7,", "md5:7", "sha256:1;2", "sha256:123", "sha256:24"]
)
def test_what_names_no_registers_is_refused(pcrs: str) -> None:
    with pytest.raises(UnsealError, match="names no platform configuration registers; write them as"):
        TpmKeeper({"pcrs": pcrs}, system_entropy).wrap(ROOT_KEY, BINDING)


def test_registers_that_the_tpm_does_not_keep(tpm: SoftwareTpm) -> None:
    """Their policy would hold whatever has started."""
    tpm.drop_sha1()
    with pytest.raises(UnsealError, match="does not keep the register sha1:7"):
        keeper(tpm, pcrs="sha1:7").wrap(ROOT_KEY, BINDING)


def test_a_lockout_and_a_busy_tpm_end_by_themselves() -> None:
    for code in (0x921, 0x922):
        assert isinstance(module._failure(code, "", "d", ""), SealUnavailableError)
