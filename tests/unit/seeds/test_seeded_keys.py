"""The keys of a seed, and what local-kms itself made with them (``vectors/local-kms``)."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local_deployment import LocalDeployment, Refused
from strongroom.clock import DAY, ManualClock
from strongroom.operations.kms.table import TABLE
from strongroom.seeds.ciphertexts import SeededKeys, parse_blob
from strongroom.seeds.local_kms_file import parse_seed, read_seed
from strongroom.seeds.planting import Planted, plant
from strongroom.seeds.rows import development_rows
from strongroom.seeds.seed import SeedError

VECTORS = Path(__file__).parents[2] / "vectors" / "local-kms"
MADE = json.loads((VECTORS / "made_by_local_kms.json").read_text())
NOW = 1_790_000_000.0
KEY = "6a1f0c5e-93b4-4d0b-8f34-0d6f7d1c2b%02d"


def planted(deployment: LocalDeployment) -> tuple[Planted, SeededKeys]:
    """Plant the seed of the vectors, and serve the operations for development."""
    made, seeded = plant(
        read_seed(VECTORS / "seed.yaml"), deployment.deployment.backends, deployment.settings.account, "us-east-1", NOW
    )
    deployment.operations |= development_rows(seeded)
    return made, seeded


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalDeployment]:
    deployment = LocalDeployment(tmp_path_factory.mktemp("seeded") / "data", ManualClock(NOW))
    assert planted(deployment)[0] == Planted(keys=9, aliases=2, present=0)
    yield deployment
    deployment.deployment.close()


def decrypted(deployment: LocalDeployment, blob: str, **more: Any) -> bytes:
    return base64.b64decode(deployment.call("Decrypt", CiphertextBlob=blob, **more)["Plaintext"])


@pytest.mark.parametrize("made", MADE["ciphertexts"], ids=lambda made: base64.b64decode(made["plaintext"])[:12].hex())
def test_ciphertexts_made_by_local_kms_open(seeded: LocalDeployment, made: dict[str, Any]) -> None:
    plaintext = base64.b64decode(made["plaintext"])
    named = {"KeyId": made["key_id"], "EncryptionAlgorithm": made["algorithm"]}
    if made["algorithm"] != "SYMMETRIC_DEFAULT":
        assert decrypted(seeded, made["blob"], **named) == plaintext
        return
    assert decrypted(seeded, made["blob"], EncryptionContext=made["context"]) == plaintext
    assert decrypted(seeded, made["blob"], EncryptionContext=made["context"], **named) == plaintext
    with pytest.raises(Refused, match="InvalidCiphertextException"):
        decrypted(seeded, made["blob"], EncryptionContext={**made["context"], "more": "x"})
    moved = seeded.call(
        "ReEncrypt",
        CiphertextBlob=made["blob"],
        SourceEncryptionContext=made["context"],
        DestinationKeyId="alias/orders",
        DestinationEncryptionContext={"moved": "in"},
    )["CiphertextBlob"]
    assert parse_blob(base64.b64decode(moved)) is None
    assert decrypted(seeded, moved, EncryptionContext={"moved": "in"}) == plaintext


@pytest.mark.parametrize("made", MADE["signatures"], ids=lambda made: made["algorithm"])
def test_signatures_made_by_local_kms_verify(seeded: LocalDeployment, made: dict[str, str]) -> None:
    request = {"KeyId": made["key_id"], "Message": made["message"], "SigningAlgorithm": made["algorithm"]}
    assert seeded.call("Verify", Signature=made["signature"], **request)["SignatureValid"]


@pytest.mark.parametrize("position", [80, 88, 100, -1], ids=["index", "nonce", "ciphertext", "tag"])
def test_a_changed_blob_does_not_open(seeded: LocalDeployment, position: int) -> None:
    blob = bytearray(base64.b64decode(MADE["ciphertexts"][0]["blob"]))
    blob[position] ^= 1
    with pytest.raises(Refused, match="InvalidCiphertextException"):
        decrypted(seeded, base64.b64encode(blob).decode())


def test_a_cut_blob_is_refused_wherever_it_ends(seeded: LocalDeployment) -> None:
    blob = base64.b64decode(MADE["ciphertexts"][0]["blob"])
    for end in range(1, len(blob)):
        with pytest.raises(Refused, match=r"InvalidCiphertextException|AccessDeniedException"):
            decrypted(seeded, base64.b64encode(blob[:end]).decode())


def test_only_the_key_that_a_blob_names_opens_it(seeded: LocalDeployment) -> None:
    blob = MADE["ciphertexts"][0]["blob"]
    with pytest.raises(Refused, match="IncorrectKeyException"):
        decrypted(seeded, blob, KeyId=KEY % 2)
    other = seeded.call("CreateKey")["KeyMetadata"]["KeyId"]
    renamed = base64.b64encode(base64.b64decode(blob).replace((KEY % 1).encode(), other.encode())).decode()
    with pytest.raises(Refused, match="InvalidCiphertextException"):
        decrypted(seeded, renamed)
    missing = base64.b64encode(base64.b64decode(blob).replace(b"7d1c2b01", b"7d1c2bff")).decode()
    with pytest.raises(Refused, match="AccessDeniedException"):
        decrypted(seeded, missing)


def test_the_audit_record_names_the_material_of_the_blob(seeded: LocalDeployment) -> None:
    decrypted(seeded, MADE["ciphertexts"][2]["blob"])
    record = seeded.records()[-1]
    used = record["additionalEventData"]["keyMaterialId"]
    with seeded.deployment.backends.store.read() as reader:
        found = reader.key_of_material("us-east-1", used)
    assert found is not None
    assert found.key_id == KEY % 2


def test_a_server_that_was_not_started_for_development_opens_none(tmp_path: Path) -> None:
    deployment = LocalDeployment(tmp_path / "data", ManualClock(NOW))
    planted(deployment)
    deployment.operations = dict(TABLE)
    with pytest.raises(Refused, match="InvalidCiphertextException"):
        decrypted(deployment, MADE["ciphertexts"][0]["blob"])
    deployment.deployment.close()


def test_a_seed_is_planted_once(seeded: LocalDeployment) -> None:
    seeded.call("UpdateKeyDescription", KeyId=KEY % 1, Description="changed")
    assert planted(seeded)[0] == Planted(keys=0, aliases=0, present=11)
    assert seeded.call("DescribeKey", KeyId="alias/orders")["KeyMetadata"]["Description"] == "changed"
    assert decrypted(seeded, MADE["ciphertexts"][0]["blob"]) == b"a secret of local-kms"


def test_states_rotation_and_origin(seeded: LocalDeployment) -> None:
    assert seeded.call("DescribeKey", KeyId=KEY % 3)["KeyMetadata"]["Origin"] == "EXTERNAL"
    assert seeded.call("DescribeKey", KeyId=KEY % 4)["KeyMetadata"]["KeyState"] == "PendingImport"
    status = seeded.call("GetKeyRotationStatus", KeyId=KEY % 2)
    # The file says 2049; a rotation is due within a year.
    assert (status["KeyRotationEnabled"], status["NextRotationDate"]) == (True, NOW + 365 * DAY)
    assert not seeded.call("GetKeyRotationStatus", KeyId=KEY % 1)["KeyRotationEnabled"]


def test_ciphertexts_of_an_earlier_run_with_the_same_seed_open(seeded: LocalDeployment, tmp_path: Path) -> None:
    blob = seeded.call("Encrypt", KeyId="alias/rotated", Plaintext=base64.b64encode(b"kept").decode())["CiphertextBlob"]
    later = LocalDeployment(tmp_path / "data", ManualClock(NOW + DAY))
    planted(later)
    assert decrypted(later, blob) == b"kept"
    later.deployment.close()


def test_several_accounts_may_have_the_same_keys(tmp_path: Path) -> None:
    deployment = LocalDeployment(tmp_path / "data", ManualClock(NOW))
    done, _ = planted(deployment)
    seed = read_seed(VECTORS / "seed.yaml")
    again, _ = plant(seed, deployment.deployment.backends, "999988887777", "us-east-1", NOW)
    assert again == done
    deployment.deployment.close()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"Aliases: [{{AliasName: orders, TargetKeyId: {KEY % 1}}}]", "Aliases[0]: Alias must start with the prefix"),
        ("Aliases: [{AliasName: alias/x, TargetKeyId: y}]", "Aliases[0].TargetKeyId: there is no key `y`"),
        (f"Aliases: [{{AliasName: alias/aws/s3, TargetKeyId: {KEY % 1}}}]", "Aliases[0]: NotAuthorizedException"),
    ],
)
def test_aliases_that_cannot_be(seeded: LocalDeployment, text: str, message: str) -> None:
    seed = parse_seed(text.encode(), "seed.yaml")
    with pytest.raises(SeedError) as refused:
        plant(seed, seeded.deployment.backends, seeded.settings.account, "us-east-1", NOW)
    assert str(refused.value).startswith(f"`seed.yaml`: {message}")


def test_a_dry_run_that_ignores_the_ciphertext_does_not_look_at_one_of_local_kms(seeded: LocalDeployment) -> None:
    made = next(each for each in MADE["ciphertexts"] if each["algorithm"] == "SYMMETRIC_DEFAULT")
    ignoring = {"DryRun": True, "DryRunModifiers": ["IGNORE_CIPHERTEXT"], "CiphertextBlob": made["blob"]}
    other = seeded.call("CreateKey")["KeyMetadata"]["KeyId"]
    for operation, request in (
        ("Decrypt", {"KeyId": other}),
        ("ReEncrypt", {"SourceKeyId": other, "DestinationKeyId": other}),
    ):
        with pytest.raises(Refused, match="DryRunOperationException"):
            seeded.call(operation, **ignoring, **request)
    with pytest.raises(Refused, match="ValidationException"):
        seeded.call("Decrypt", **ignoring)
