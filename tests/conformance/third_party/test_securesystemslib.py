"""securesystemslib's signer, which TUF repositories and in-toto sign with."""

import pytest
from mypy_boto3_kms.client import KMSClient
from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import SIGNER_FOR_URI_SCHEME, AWSSigner, Signer

PAYLOAD = b'{"signed": {"_type": "root", "version": 1}}'

pytestmark = pytest.mark.usefixtures("_pointed_at_us")


@pytest.mark.parametrize(
    ("spec", "scheme"),
    [
        ("RSA_2048", "rsassa-pss-sha256"),
        ("RSA_3072", "rsassa-pss-sha384"),
        ("RSA_2048", "rsa-pkcs1v15-sha512"),
        ("ECC_NIST_P256", "ecdsa-sha2-nistp256"),
        ("ECC_NIST_P384", "ecdsa-sha2-nistp384"),
    ],
)
def test_metadata_signed_with_a_kms_key(
    kms: KMSClient, monkeypatch: pytest.MonkeyPatch, spec: str, scheme: str
) -> None:
    monkeypatch.setitem(SIGNER_FOR_URI_SCHEME, AWSSigner.SCHEME, AWSSigner)
    arguments = {"KeySpec": spec, "KeyUsage": "SIGN_VERIFY"}
    arn = kms.create_key(**arguments)["KeyMetadata"]["Arn"]  # type: ignore[arg-type]  # literals
    uri, public_key = AWSSigner.import_(arn, scheme)
    signature = Signer.from_priv_key_uri(uri, public_key).sign(PAYLOAD)
    public_key.verify_signature(signature, PAYLOAD)
    with pytest.raises(UnverifiedSignatureError):
        public_key.verify_signature(signature, PAYLOAD + b" ")
