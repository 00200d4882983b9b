"""A server with ``fips`` refuses by name what is not approved, and all else works as ever."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.exceptions import ClientError

from accounts import data_of, strongroom
from client_errors import error_of
from clients import client_of, credentials_of
from local_server import RunningServer, running_server
from tls_files import RSA, Pair, self_signed

ONLY_GCM = """
openssl_conf = init
[init]
ssl_conf = ssl
[ssl]
system_default = defaults
[defaults]
Ciphersuites = TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256
"""
"""The configuration of OpenSSL that docs/FIPS.md gives."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fips")


@pytest.fixture(scope="module")
def pair(folder: Path) -> Pair:
    return self_signed(folder, "rsa", kind=RSA)


@pytest.fixture(scope="module")
def old_keys(folder: Path) -> dict[str, str]:
    """Return a key of each refused spec, by spec, which the server made before ``fips`` was set."""
    usages: dict[str, Any] = {"ECC_SECG_P256K1": "SIGN_VERIFY", "ML_KEM_512": "ENCAPSULATE_DECAPSULATE"}
    with running_server(folder / "data", folder / "before") as server:
        kms: Any = client_of(server)
        return {
            spec: kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["KeyId"] for spec, usage in usages.items()
        }


@pytest.fixture(scope="module")
def old_key(old_keys: dict[str, str]) -> str:
    return old_keys["ECC_SECG_P256K1"]


@pytest.fixture(scope="module")
def server(folder: Path, pair: Pair, old_keys: dict[str, str]) -> Iterator[RunningServer]:
    assert old_keys
    with running_server(folder / "data", folder / "log", "--fips", *pair.options) as server:
        yield server


@pytest.fixture(scope="module")
def kms(server: RunningServer, pair: Pair) -> Any:
    keys = credentials_of(server)
    return boto3.client(
        "kms",
        region_name="us-east-1",
        endpoint_url=server.endpoint,
        verify=str(pair.certificate),
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key,
    )


@pytest.mark.parametrize("spec", ["ECC_SECG_P256K1", "ML_KEM_512"])
@pytest.mark.parametrize("origin", ["AWS_KMS", "EXTERNAL"])
def test_key_specs_are_refused_by_name(kms: Any, spec: str, origin: str) -> None:
    usage = "SIGN_VERIFY" if spec.startswith("ECC") else "ENCAPSULATE_DECAPSULATE"
    with pytest.raises(ClientError, match="UnsupportedOperationException") as refused:
        kms.create_key(KeySpec=spec, KeyUsage=usage, Origin=origin)
    assert spec in str(refused.value)
    if origin == "AWS_KMS":
        assert "its setting fips" in str(refused.value)


def test_data_key_pairs_are_refused_by_name(kms: Any) -> None:
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    assert kms.generate_data_key_pair(KeyId=key_id, KeyPairSpec="ECC_NIST_P256")["PublicKey"]
    for call in (kms.generate_data_key_pair, kms.generate_data_key_pair_without_plaintext):
        with pytest.raises(ClientError, match=r"UnsupportedOperationException.*ECC_SECG_P256K1"):
            call(KeyId=key_id, KeyPairSpec="ECC_SECG_P256K1")


def test_ed25519_signs_and_its_prehashed_form_is_refused(kms: Any) -> None:
    key_id = kms.create_key(KeySpec="ECC_NIST_EDWARDS25519", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    signed = kms.sign(KeyId=key_id, Message=b"text", SigningAlgorithm="ED25519_SHA_512")
    assert kms.verify(KeyId=key_id, Message=b"text", Signature=signed["Signature"], SigningAlgorithm="ED25519_SHA_512")[
        "SignatureValid"
    ]
    prehashed = {
        "KeyId": key_id,
        "Message": bytes(64),
        "MessageType": "DIGEST",
        "SigningAlgorithm": "ED25519_PH_SHA_512",
    }
    with pytest.raises(ClientError, match=r"UnsupportedOperationException.*ED25519_PH_SHA_512"):
        kms.sign(**prehashed)
    with pytest.raises(ClientError, match=r"UnsupportedOperationException.*ED25519_PH_SHA_512"):
        kms.verify(Signature=bytes(64), **prehashed)


def test_a_dry_run_is_refused_as_the_call_is(kms: Any, old_keys: dict[str, str]) -> None:
    made = kms.create_key()["KeyMetadata"]["KeyId"]
    edwards = kms.create_key(KeySpec="ECC_NIST_EDWARDS25519", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    message = {"Message": bytes(64), "MessageType": "DIGEST"}
    prehashed = {"KeyId": edwards, **message, "SigningAlgorithm": "ED25519_PH_SHA_512"}
    on_curve = {"KeyId": old_keys["ECC_SECG_P256K1"], "Message": b"text", "SigningAlgorithm": "ECDSA_SHA_256"}
    encapsulate = {"KeyId": old_keys["ML_KEM_512"], "EncapsulationAlgorithm": "ML_KEM"}
    pairs = [{"KeyId": made, "KeyPairSpec": spec} for spec in old_keys]
    for call, request in (
        (kms.sign, prehashed),
        (kms.verify, {**prehashed, "Signature": bytes(64)}),
        (kms.sign, on_curve),
        (kms.verify, {**on_curve, "Signature": bytes(64)}),
        (kms.encapsulate, encapsulate),
        (kms.decapsulate, {**encapsulate, "SharedSecretCiphertextBlob": bytes(768)}),
        *((kms.generate_data_key_pair, each) for each in pairs),
        *((kms.generate_data_key_pair_without_plaintext, each) for each in pairs),
    ):
        refused = error_of(call, **request)
        assert refused["Code"] == "UnsupportedOperationException"
        assert "its setting fips" in refused["Message"]
        assert error_of(call, **request, DryRun=True) == refused
    allowed = {"KeyId": edwards, "Message": b"text", "SigningAlgorithm": "ED25519_SHA_512", "DryRun": True}
    assert error_of(kms.sign, **allowed)["Code"] == "DryRunOperationException"


def test_a_key_that_was_made_before_can_be_described_and_not_used(kms: Any, old_key: str) -> None:
    assert kms.describe_key(KeyId=old_key)["KeyMetadata"]["KeySpec"] == "ECC_SECG_P256K1"
    with pytest.raises(ClientError, match=r"UnsupportedOperationException.*ECC_SECG_P256K1"):
        kms.sign(KeyId=old_key, Message=b"text", SigningAlgorithm="ECDSA_SHA_256")


@pytest.mark.parametrize(
    ("options", "agreed"),
    [
        (("-tls1_2",), True),
        (("-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"), True),
        (("-tls1_2", "-cipher", "ECDHE-RSA-CHACHA20-POLY1305"), False),
        (("-tls1_2", "-groups", "X25519"), False),
        (("-tls1_3",), False),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, tuple) else "",
)
def test_tls_has_approved_suites_and_groups_only(
    server: RunningServer, options: tuple[str, ...], *, agreed: bool
) -> None:
    assert (_agreed(server, *options) is not None) is agreed


def test_with_a_configuration_of_openssl_tls_1_3_is_there_too(folder: Path, pair: Pair) -> None:
    configuration = folder / "openssl.cnf"
    configuration.write_text(ONLY_GCM)
    environment = {"OPENSSL_CONF": str(configuration)}
    with running_server(folder / "other", folder / "log13", "--fips", *pair.options, environment=environment) as server:
        assert _agreed(server, "-tls1_3") == "TLS_AES_256_GCM_SHA384"
        assert _agreed(server, "-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256") is None
        assert _agreed(server, "-tls1_3", "-groups", "X25519") is None


def test_backups_are_made_without_age(server: RunningServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRONGROOM_FIPS", "true")
    secret = folder / "passphrase"
    secret.write_text("secret\n")
    for options in (("--passphrase-file", str(secret)), ("--unencrypted", "--with-domain-keys")):
        refused = strongroom(data_of(server), "backup", "--to", str(folder / "no"), *options)
        assert refused.returncode == 1
        assert "with `fips`, make the backup with --unencrypted" in refused.stderr
    assert strongroom(data_of(server), "backup", "--to", str(folder / "yes"), "--unencrypted").returncode == 0


def _agreed(server: RunningServer, *options: str) -> str | None:
    command = ["openssl", "s_client", "-connect", urlsplit(server.endpoint).netloc, *options]
    done = subprocess.run(
        command, input="", capture_output=True, text=True, timeout=30, check=False, env={"PATH": os.environ["PATH"]}
    )
    found = re.search(r"New, (TLSv[\d.]+), Cipher is (\S+)", done.stdout)
    return None if found is None or done.returncode != 0 else found[2]
