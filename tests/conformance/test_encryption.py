import itertools
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ClientError
from mypy_boto3_kms.client import KMSClient

from client_errors import error_code_of, error_of

CONTEXT = {"department": "payroll", "year": "2026", "": "empty key"}


def test_4096_bytes_encrypt_and_4097_do_not(kms: KMSClient, key_id: str) -> None:
    plaintext = bytes(range(256)) * 16
    blob = kms.encrypt(KeyId=key_id, Plaintext=plaintext)["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == plaintext
    with pytest.raises(ClientError) as caught:
        kms.encrypt(KeyId=key_id, Plaintext=bytes(4097))
    assert caught.value.response["Error"] == {
        "Code": "ValidationException",
        "Message": "1 validation error detected: Value at 'plaintext' failed to satisfy constraint: "
        "Member must have length less than or equal to 4096",
    }


def test_the_answer_names_the_key_by_its_arn_whatever_it_was_called_by(kms: KMSClient, key_id: str) -> None:
    arn = kms.describe_key(KeyId=key_id)["KeyMetadata"]["Arn"]
    kms.create_alias(AliasName=f"alias/{key_id}", TargetKeyId=key_id)
    alias_arn = arn.rpartition(":")[0] + f":alias/{key_id}"
    for name in (key_id, arn, f"alias/{key_id}", alias_arn):
        answer = kms.encrypt(KeyId=name, Plaintext=b"x")
        assert answer["KeyId"] == arn
        opened = kms.decrypt(CiphertextBlob=answer["CiphertextBlob"], KeyId=name)
        assert (opened["KeyId"], opened["EncryptionAlgorithm"]) == (arn, "SYMMETRIC_DEFAULT")


def test_every_flipped_bit_and_every_cut_of_a_blob_is_refused(kms: KMSClient, key_id: str) -> None:
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"secret")["CiphertextBlob"]
    for at, bit in itertools.product(range(len(blob)), range(8)):
        altered = bytes((*blob[:at], blob[at] ^ 1 << bit, *blob[at + 1 :]))
        # A header that was altered names the key material of no key.
        names_no_key = at in range(1, 33)
        refused = "AccessDeniedException" if names_no_key else "InvalidCiphertextException"
        assert error_code_of(kms.decrypt, CiphertextBlob=altered) == refused
    for length in range(1, len(blob)):
        assert error_code_of(kms.decrypt, CiphertextBlob=blob[:length]) == "InvalidCiphertextException"
        assert error_code_of(kms.decrypt, CiphertextBlob=blob[:length], KeyId=key_id) == "InvalidCiphertextException"


def test_the_encryption_context_must_be_the_same_but_not_in_the_same_order(kms: KMSClient, key_id: str) -> None:
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"secret", EncryptionContext=CONTEXT)["CiphertextBlob"]
    for order in itertools.permutations(CONTEXT.items()):
        assert kms.decrypt(CiphertextBlob=blob, EncryptionContext=dict(order))["Plaintext"] == b"secret"
    others: list[dict[str, str]] = [{}, {**CONTEXT, "more": "x"}]
    for name, value in CONTEXT.items():
        rest = {other: CONTEXT[other] for other in CONTEXT if other != name}
        others += [rest, {**rest, name: "other"}, {**rest, name + "x": value}, {**rest, name: ""}]
    others += [{**CONTEXT, "year": "2026 "}, {"Department" if k == "department" else k: v for k, v in CONTEXT.items()}]
    for other in others:
        assert error_code_of(kms.decrypt, CiphertextBlob=blob, EncryptionContext=other) == "InvalidCiphertextException"


def test_an_encryption_context_has_a_largest_size(kms: KMSClient, key_id: str) -> None:
    largest = {"name": "v" * (8192 - 4)}
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"x", EncryptionContext=largest)["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob, EncryptionContext=largest)["Plaintext"] == b"x"
    for larger in ({"name": "v" * (8193 - 4)}, {str(number): "" for number in range(3000)}):
        assert error_of(kms.encrypt, KeyId=key_id, Plaintext=b"x", EncryptionContext=larger) == {
            "Code": "ValidationException",
            "Message": "The encryption context is larger than 8192 characters.",
        }


def test_ten_rotations_and_every_old_ciphertext_decrypts(kms: KMSClient, key_id: str) -> None:
    blobs = [kms.encrypt(KeyId=key_id, Plaintext=b"generation 0")["CiphertextBlob"]]
    ids = [kms.describe_key(KeyId=key_id)["KeyMetadata"]["CurrentKeyMaterialId"]]
    for number in range(1, 11):
        kms.rotate_key_on_demand(KeyId=key_id)
        blobs.append(kms.encrypt(KeyId=key_id, Plaintext=f"generation {number}".encode())["CiphertextBlob"])
        ids.append(kms.describe_key(KeyId=key_id)["KeyMetadata"]["CurrentKeyMaterialId"])
    assert len(set(ids)) == 11
    for number, blob in enumerate(blobs):
        opened = kms.decrypt(CiphertextBlob=blob)
        assert opened["Plaintext"] == f"generation {number}".encode()
        assert opened["KeyMaterialId"] == ids[number]
    rotations = kms.list_key_rotations(KeyId=key_id)["Rotations"]
    assert [each["KeyMaterialId"] for each in rotations] == ids[1:]
    assert {each["RotationType"] for each in rotations} == {"ON_DEMAND"}
    everything = kms.list_key_rotations(KeyId=key_id, IncludeKeyMaterial="ALL_KEY_MATERIAL")["Rotations"]
    assert [each["KeyMaterialState"] for each in everything] == ["NON_CURRENT"] * 10 + ["CURRENT"]
    assert "RotationDate" not in everything[0]


def test_data_keys(kms: KMSClient, key_id: str) -> None:
    for size, arguments in (
        (32, {"KeySpec": "AES_256"}),
        (16, {"KeySpec": "AES_128"}),
        (1024, {"NumberOfBytes": 1024}),
    ):
        made = kms.generate_data_key(KeyId=key_id, EncryptionContext=CONTEXT, **arguments)
        assert len(made["Plaintext"]) == size
        opened = kms.decrypt(CiphertextBlob=made["CiphertextBlob"], EncryptionContext=CONTEXT)
        assert opened["Plaintext"] == made["Plaintext"]
        assert opened["KeyMaterialId"] == made["KeyMaterialId"]
        sealed = kms.generate_data_key_without_plaintext(KeyId=key_id, **arguments)
        assert "Plaintext" not in sealed
        assert len(kms.decrypt(CiphertextBlob=sealed["CiphertextBlob"])["Plaintext"]) == size
    assert error_code_of(kms.generate_data_key, KeyId=key_id) == "ValidationException"
    assert (
        error_code_of(kms.generate_data_key, KeyId=key_id, KeySpec="AES_256", NumberOfBytes=8) == "ValidationException"
    )


def test_re_encrypt_moves_a_blob_to_another_key_and_context(kms: KMSClient, key_id: str) -> None:
    other = kms.create_key()["KeyMetadata"]["Arn"]
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"secret", EncryptionContext={"a": "1"})["CiphertextBlob"]
    moved = kms.re_encrypt(
        CiphertextBlob=blob,
        SourceEncryptionContext={"a": "1"},
        DestinationKeyId=other,
        DestinationEncryptionContext={"b": "2"},
    )
    assert moved["KeyId"] == other
    assert moved["SourceKeyId"].endswith(key_id)
    assert {moved["SourceEncryptionAlgorithm"], moved["DestinationEncryptionAlgorithm"]} == {"SYMMETRIC_DEFAULT"}
    opened = kms.decrypt(CiphertextBlob=moved["CiphertextBlob"], EncryptionContext={"b": "2"})
    assert (opened["KeyId"], opened["Plaintext"]) == (other, b"secret")
    assert error_code_of(kms.re_encrypt, CiphertextBlob=blob, DestinationKeyId=other) == "InvalidCiphertextException"


def test_a_blob_of_another_key_than_the_one_named(kms: KMSClient, key_id: str) -> None:
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"secret")["CiphertextBlob"]
    assert error_code_of(kms.decrypt, CiphertextBlob=blob, KeyId=other) == "IncorrectKeyException"
    assert (
        error_code_of(kms.re_encrypt, CiphertextBlob=blob, SourceKeyId=other, DestinationKeyId=other)
        == "IncorrectKeyException"
    )
    # Whether there is a key that the blob belongs to makes no difference.
    nobodys = blob[:1] + bytes(32) + blob[33:]
    assert error_code_of(kms.decrypt, CiphertextBlob=nobodys, KeyId=key_id) == "IncorrectKeyException"


def test_bytes_that_are_no_blob(kms: KMSClient, key_id: str) -> None:
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"secret")["CiphertextBlob"]
    # Another version, and too short to name key material: no key can be looked for.
    for bad in (b"\x00" + blob[1:], b"\x02" + blob[1:], b"AQICAHi", blob[:33], b"x" * 200):
        assert error_code_of(kms.decrypt, CiphertextBlob=bad) == "InvalidCiphertextException"
        assert error_code_of(kms.decrypt, CiphertextBlob=bad, KeyId=key_id) == "InvalidCiphertextException"
        refused = error_code_of(kms.re_encrypt, CiphertextBlob=bad, DestinationKeyId=key_id)
        assert refused == "InvalidCiphertextException"


def test_random_bytes(kms: KMSClient) -> None:
    assert len(kms.generate_random(NumberOfBytes=1024)["Plaintext"]) == 1024
    assert kms.generate_random(NumberOfBytes=32)["Plaintext"] != kms.generate_random(NumberOfBytes=32)["Plaintext"]
    with pytest.raises(ClientError, match="NumberOfBytes is required"):
        kms.generate_random()


@pytest.mark.parametrize("operation", ["encrypt", "decrypt", "generate_data_key", "re_encrypt"])
def test_a_dry_run_does_everything_but_the_work(kms: KMSClient, key_id: str, operation: str) -> None:
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    arguments: dict[str, dict[str, Any]] = {
        "encrypt": {"KeyId": key_id, "Plaintext": b"x"},
        "decrypt": {"CiphertextBlob": blob},
        "generate_data_key": {"KeyId": key_id, "KeySpec": "AES_256"},
        "re_encrypt": {"CiphertextBlob": blob, "DestinationKeyId": key_id},
    }
    call = getattr(kms, operation)
    assert error_code_of(call, **arguments[operation], DryRun=True) == "DryRunOperationException"
    kms.disable_key(KeyId=key_id)
    assert error_code_of(call, **arguments[operation], DryRun=True) == "DisabledException"


def test_a_dry_run_may_leave_the_ciphertext_out(kms: KMSClient, key_id: str) -> None:
    ignore = {"DryRun": True, "DryRunModifiers": ["IGNORE_CIPHERTEXT"]}
    assert error_code_of(kms.decrypt, KeyId=key_id, **ignore) == "DryRunOperationException"
    assert error_code_of(kms.decrypt, **ignore) == "ValidationException"
    assert error_code_of(kms.decrypt, KeyId=key_id) == "ValidationException"
    assert (
        error_code_of(kms.re_encrypt, SourceKeyId=key_id, DestinationKeyId=key_id, **ignore)
        == "DryRunOperationException"
    )
    assert error_code_of(kms.re_encrypt, DestinationKeyId=key_id, **ignore) == "ValidationException"


@pytest.mark.parametrize("source", ["KeyId", "SourceKeyId"])
def test_a_dry_run_that_ignores_the_ciphertext_does_not_look_at_it(kms: KMSClient, key_id: str, source: str) -> None:
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    of_other = kms.encrypt(KeyId=other, Plaintext=b"x")["CiphertextBlob"]
    operation: Any = kms.decrypt if source == "KeyId" else partial(kms.re_encrypt, DestinationKeyId=key_id)
    ignore = {"DryRun": True, "DryRunModifiers": ["IGNORE_CIPHERTEXT"]}
    for blob, refused in ((b"dummy", "InvalidCiphertextException"), (of_other, "IncorrectKeyException")):
        request: dict[str, Any] = {source: key_id, "CiphertextBlob": blob}
        assert error_code_of(operation, **request, **ignore) == "DryRunOperationException"
        assert error_code_of(operation, **request, DryRun=True) == refused
        # The modifier is for dry runs only.
        assert error_code_of(operation, **request, **{**ignore, "DryRun": False}) == refused
        assert error_code_of(operation, CiphertextBlob=blob, **ignore) == "ValidationException"


def test_grant_tokens_and_recipients_are_not_silently_ignored(kms: KMSClient, key_id: str) -> None:
    assert error_code_of(kms.encrypt, KeyId=key_id, Plaintext=b"x", GrantTokens=["t"]) == "InvalidGrantTokenException"
    recipient = {"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256", "AttestationDocument": b"x"}
    refusal = error_of(kms.generate_data_key, KeyId=key_id, KeySpec="AES_256", Recipient=recipient)
    assert refusal["Code"] == "ValidationException"
    assert "trusts no attestation root" in refusal["Message"]
