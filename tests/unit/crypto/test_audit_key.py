"""The audit key: pure Ed25519, and a public key as every other tool reads it."""

import subprocess
from pathlib import Path

import pytest

from strongroom.crypto.audit_key import AuditKey, load_audit_public_key

# RFC 8032, 7.1, TEST 3.
SECRET = bytes.fromhex("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7")
SIGNATURE = bytes.fromhex(
    "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
    "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
)


def test_a_published_signature() -> None:
    key = AuditKey(SECRET)
    assert key.sign(b"\xaf\x82") == SIGNATURE
    public = load_audit_public_key(key.public().pem().encode())
    assert public.verifies(b"\xaf\x82", SIGNATURE)
    assert not public.verifies(b"\xaf\x83", SIGNATURE)
    assert not public.verifies(b"\xaf\x82", SIGNATURE[:-1])
    assert not AuditKey(bytes(32)).public().verifies(b"\xaf\x82", SIGNATURE)


def test_openssl_reads_the_public_key_and_another_kind_is_refused(tmp_path: Path) -> None:
    pem = tmp_path / "audit.pem"
    pem.write_text(AuditKey(SECRET).public().pem())
    shown = subprocess.run(
        ["openssl", "pkey", "-pubin", "-in", pem, "-noout", "-text"], capture_output=True, check=True
    )
    assert b"ED25519 Public-Key" in shown.stdout
    ec = str(tmp_path / "ec.pem")
    made = ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", ec]
    subprocess.run(made, check=True)
    other = subprocess.run(["openssl", "pkey", "-in", ec, "-pubout"], capture_output=True, check=True)
    for wrong in (other.stdout, b"nothing", b""):
        with pytest.raises(ValueError, match=r"\w"):
            load_audit_public_key(wrong)
