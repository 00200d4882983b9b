"""Keys that move into a token to stay there, by rotations, while the server runs; and moves that are refused."""

import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from accounts import strongroom, succeed
from clients import client_of
from local_server import RunningServer, running_server
from softhsm import new_token, token_settings

EAST, WEST = "us-east-1", "eu-west-1"
SPECS = (
    *(("RSA_2048", "SIGN_VERIFY", "RSASSA_PSS_SHA_256"), ("ECC_NIST_P256", "SIGN_VERIFY", "ECDSA_SHA_256")),
    ("ECC_SECG_P256K1", "SIGN_VERIFY", "ECDSA_SHA_256"),
)
PROTECTION = "STRONGROOM_KEY_PROTECTION"


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    regions = {"STRONGROOM_REGIONS": f"{EAST},{WEST}"}
    for name, value in {**new_token(tmp_path), **token_settings(tmp_path, protection="pkcs11-full"), **regions}.items():
        monkeypatch.setenv(name, value)


def formats(data: Path, region: str = EAST) -> set[bytes]:
    with sqlite3.connect(data / "strongroom.db") as database:
        rows = database.execute("SELECT token FROM key_material WHERE region = ?", (region,))
        return {row[0][:5] for row in rows if row[0] is not None}


def objects(data: Path) -> tuple[list[str], int]:
    """Return what the domain keys in the token protect, and how many objects there are not ours."""
    found = json.loads(succeed(data, "hsm", "status", "--json"))
    assert all(each["there"] for each in found["domain_keys"])
    return [each["key_protection"] for each in found["domain_keys"]], len(found["other_objects"])


class Made:
    """Keys of every kind that the token can keep, and what was made with them."""

    def __init__(self, server: RunningServer) -> None:
        kms: Any = client_of(server)
        self.key = self._new(kms, "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", MultiRegion=True)
        self.blobs = []
        for _ in range(2):
            self.blobs.append(kms.encrypt(KeyId=self.key, Plaintext=b"text")["CiphertextBlob"])
            kms.rotate_key_on_demand(KeyId=self.key)
        self.mac_key = self._new(kms, "HMAC_384", "GENERATE_VERIFY_MAC")
        self.mac = kms.generate_mac(KeyId=self.mac_key, Message=b"m", MacAlgorithm="HMAC_SHA_384")["Mac"]
        self.signatures: list[Mapping[str, Any]] = []
        for spec, usage, algorithm in SPECS:
            call: dict[str, Any] = {
                "KeyId": self._new(kms, spec, usage),
                "Message": b"m",
                "SigningAlgorithm": algorithm,
            }
            public_key = kms.get_public_key(KeyId=call["KeyId"])["PublicKey"]
            self.signatures.append({**call, "Signature": kms.sign(**call)["Signature"], "public": public_key})

    def require(self, server: RunningServer, region: str = EAST) -> None:
        """Require that all of it is good, and that every key can be used."""
        kms: Any = client_of(server, region)
        for blob in self.blobs:
            assert kms.decrypt(CiphertextBlob=blob, KeyId=self.key)["Plaintext"] == b"text"
        self.blobs.append(kms.encrypt(KeyId=self.key, Plaintext=b"text")["CiphertextBlob"])
        if region != EAST:
            return
        kms.verify_mac(KeyId=self.mac_key, Message=b"m", MacAlgorithm="HMAC_SHA_384", Mac=self.mac)
        for each in self.signatures:
            call = {name: value for name, value in each.items() if name != "public"}
            assert kms.verify(**call)["SignatureValid"]
            assert kms.get_public_key(KeyId=call["KeyId"])["PublicKey"] == each["public"]
            new = {name: value for name, value in call.items() if name != "Signature"}
            assert kms.verify(**new, Signature=kms.sign(**new)["Signature"])["SignatureValid"]

    @staticmethod
    def _new(kms: Any, spec: str, usage: str, **more: Any) -> str:
        return str(kms.create_key(KeySpec=spec, KeyUsage=usage, **more)["KeyMetadata"]["KeyId"])


@pytest.mark.parametrize("before", ["software", "pkcs11-root"])
@pytest.mark.usefixtures("token")
def test_keys_move_into_full_depth_and_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str) -> None:
    data = tmp_path / "data"
    old = b"\x11" if before == "pkcs11-root" else b"\x01"
    with running_server(data, tmp_path / "log", environment={PROTECTION: before}) as server:
        made = Made(server)
        client_of(server).replicate_key(KeyId=made.key, ReplicaRegion=WEST)
        assert formats(data) == {old + b"\0\0\0\x01"}
    with running_server(data, tmp_path / "log2", "--workers", "2") as server:
        said = f"`key-protection` is pkcs11-full, and that of the keys in {WEST}, {EAST} is {before}; to move them, run"
        assert said in (tmp_path / "log2").read_text()
        made.require(server)
        other = Made(server)
        assert formats(data) == {old + b"\0\0\0\x01"}
        succeed(data, "domain-keys", "rotate", "--region", EAST)
        assert formats(data) == {b"\x13\0\0\0\x02"}
        for each in (made, other):
            each.require(server)
        # From the Region that has moved to the one that has not: the key would leave the token.
        with pytest.raises(client_of(server).exceptions.UnsupportedOperationException):
            client_of(server).replicate_key(KeyId=other.key, ReplicaRegion=WEST)
        made.require(server, WEST)
        succeed(data, "domain-keys", "rotate", "--region", WEST)
        client_of(server).replicate_key(KeyId=other.key, ReplicaRegion=WEST)
        for each in (made, other):
            each.require(server, WEST)
        succeed(data, "domain-keys", "destroy-old")
        assert objects(data) == (["pkcs11-full"] * 2, 0)
        succeed(data, "domain-keys", "rotate", "--region", EAST)
        assert objects(data) == (["pkcs11-full"] * 3, 0)
        succeed(data, "domain-keys", "destroy-old", "--region", EAST)
        assert objects(data) == (["pkcs11-full"] * 2, 0)
        assert formats(data) == {b"\x13\0\0\0\x03"}
    for kind in ("software", "pkcs11-root"):
        monkeypatch.setenv(PROTECTION, kind)
        refused = strongroom(data, "domain-keys", "rotate")
        assert refused.returncode == 1
        assert "what is in the hardware token does not leave it: 2 keys in eu-west-1; set" in refused.stderr
        assert refused.stderr.count("\n") == 1
        assert objects(data) == (["pkcs11-full"] * 2, 0)
    # The keys open all the same.
    with running_server(data, tmp_path / "log3", "--workers", "2") as server:
        assert "is pkcs11-full; keys that were made in the token do not leave it" in (tmp_path / "log3").read_text()
        for each in (made, other):
            each.require(server)
            each.require(server, WEST)
    assert strongroom(data, "audit", "verify").returncode == 0


@pytest.mark.usefixtures("token")
def test_a_move_that_keys_cannot_follow_is_refused_before_it_begins(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_server(data, tmp_path / "log", environment={PROTECTION: "software"}) as server:
        kms: Any = client_of(server)
        keys = [
            kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["KeyId"]
            for spec, usage in (
                ("RSA_2048", "ENCRYPT_DECRYPT"),
                ("RSA_2048", "ENCRYPT_DECRYPT"),
                ("ML_DSA_44", "SIGN_VERIFY"),
            )
        ]
        made = Made(server)
    with running_server(data, tmp_path / "log2") as server:
        refused = strongroom(data, "domain-keys", "rotate")
        assert refused.returncode == 1
        assert refused.stderr.startswith(
            "Error: the hardware token cannot keep 3 keys in us-east-1: 1 of ML_DSA_44 for "
        )
        assert "; 2 of RSA_2048 for ENCRYPT_DECRYPT (" in refused.stderr
        assert refused.stderr.count("\n") == 1
        assert objects(data) == ([], 0)
        assert formats(data) == {b"\x01\0\0\0\x01"}
        succeed(data, "domain-keys", "rotate", "--region", WEST, "--region", "iam")
        assert objects(data) == (["pkcs11-full"], 0)
        made.require(server)
        kms = client_of(server)
        blob = kms.encrypt(KeyId=keys[0], Plaintext=b"text", EncryptionAlgorithm="RSAES_OAEP_SHA_256")["CiphertextBlob"]
        found = kms.decrypt(KeyId=keys[0], CiphertextBlob=blob, EncryptionAlgorithm="RSAES_OAEP_SHA_256")
        assert found["Plaintext"] == b"text"
