"""Certificates and keys that cannot be used are named, with what to do."""

from pathlib import Path

import pytest

from strongroom.crypto.certificates import CertificateError, check_authorities, check_pair
from tls_files import Pair, run_openssl, self_signed

DAY = 86_400


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return self_signed(tmp_path_factory.mktemp("tls"), "good", days=30)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return self_signed(tmp_path_factory.mktemp("tls"), "other", days=3)


def test_a_chain_is_valid_as_long_as_all_of_it(tmp_path: Path, pair: Pair, other: Pair) -> None:
    whole = check_pair(str(pair.certificate), str(pair.key))
    assert whole.ends - whole.begins == 30 * DAY
    chain = tmp_path / "chain.pem"
    chain.write_bytes(pair.certificate.read_bytes() + other.certificate.read_bytes())
    both = check_pair(str(chain), str(pair.key))
    assert both.ends < whole.ends
    assert both.file == str(chain)


def refusal(certificate: Path, key: Path) -> str:
    with pytest.raises(CertificateError) as refused:
        check_pair(str(certificate), str(key))
    return str(refused.value)


def test_files_that_are_not_there(pair: Pair, tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    assert refusal(absent, pair.key) == f"the TLS certificate `{absent}` cannot be read: No such file or directory"
    assert refusal(pair.certificate, absent) == f"the TLS key `{absent}` cannot be read: No such file or directory"
    assert refusal(tmp_path, pair.key) == f"the TLS certificate `{tmp_path}` cannot be read: it is not a regular file"


def test_a_key_and_a_certificate_that_do_not_belong_together(pair: Pair, other: Pair, tmp_path: Path) -> None:
    assert f"the key `{other.key}` does not belong to the certificate" in refusal(pair.certificate, other.key)
    assert "is not PEM" in refusal(pair.key, pair.key)
    assert "is no private key" in refusal(pair.certificate, pair.certificate)
    chain = tmp_path / "chain.pem"
    chain.write_bytes(other.certificate.read_bytes() + pair.certificate.read_bytes())
    assert "put it first" in refusal(chain, pair.key)


def test_a_key_that_is_encrypted(pair: Pair, tmp_path: Path) -> None:
    encrypted = tmp_path / "encrypted.key"
    run_openssl("pkey", "-in", str(pair.key), "-aes256", "-passout", "pass:secret", "-out", str(encrypted))
    assert refusal(pair.certificate, encrypted) == (
        f"the TLS key `{encrypted}` is encrypted; decrypt it with: openssl pkey -in {encrypted} -out FILE"
    )


def test_files_in_der(pair: Pair, tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.der", tmp_path / "key.der"
    run_openssl("x509", "-in", str(pair.certificate), "-outform", "der", "-out", str(certificate))
    run_openssl("pkey", "-in", str(pair.key), "-outform", "der", "-out", str(key))
    assert "convert it with: openssl x509 -inform der" in refusal(certificate, pair.key)
    assert "convert it with: openssl pkey -inform der" in refusal(pair.certificate, key)


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_authorities_that_are_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "authorities.pem"
    path.write_bytes(content)
    with pytest.raises(CertificateError, match=r"authorities\.pem` is not PEM, or is damaged"):
        check_authorities(str(path))
