"""The condition keys of attested recipients: their registers, by AWS's names."""

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from attestations import register
from strongroom.crypto.documents.attestation import Attested, Platform
from strongroom.operations.recipient import attested_value

KEY = rsa.generate_private_key(65537, 2048).public_key()
REGISTERS = {index: register(index) for index in (0, 4, 16)}


def value(name: str, platform: Platform) -> str | None:
    return attested_value(Attested("module", platform, REGISTERS, KEY), name)


@pytest.mark.parametrize(("name", "index"), [("imagesha384", 0), ("pcr0", 0), ("pcr4", 4), ("pcr16", 16)])
def test_registers_of_an_enclave(name: str, index: int) -> None:
    assert value(name, Platform.ENCLAVE) == register(index).hex()
    assert value(name, Platform.TPM) is None


@pytest.mark.parametrize(("name", "index"), [("nitrotpmpcr0", 0), ("nitrotpmpcr4", 4), ("nitrotpmpcr16", 16)])
def test_registers_of_a_nitro_tpm(name: str, index: int) -> None:
    assert value(name, Platform.TPM) == register(index).hex()
    assert value(name, Platform.ENCLAVE) is None


@pytest.mark.parametrize(
    "name", ["", "pcr", "pcr1", "pcr00", "pcr04", "pcr-4", "pcr4 ", "pcr\u0664", "pcr160", "nitrotpmpcr", "imagesha256"]
)
def test_names_that_are_no_register_have_no_value(name: str) -> None:
    assert value(name, Platform.ENCLAVE) is None
    assert value(name, Platform.TPM) is None
