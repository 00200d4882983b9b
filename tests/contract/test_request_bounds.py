"""Every member of every request has a bound: AWS's where botocore's model has one, otherwise one of ours."""

from collections.abc import Iterator

import msgspec
import pytest
from msgspec import inspect

from local_deployment import LocalDeployment, Refused
from model_differences import unwrapped
from strongroom.clock import ManualClock
from strongroom.keys.encryption_context import MAX_SIZE
from strongroom.operations.iam.table import IAM_TABLE
from strongroom.operations.kms.table import TABLE
from strongroom.operations.sts.table import STS_TABLE
from strongroom.operations.validation import _MAX_MEMBERS

ROWS = {f"{row.service}:{name}": row for table in (TABLE, IAM_TABLE, STS_TABLE) for name, row in table.items()}
MOST = 262_144
"""The largest bound of botocore's models, in characters or bytes: that of an attestation document."""


def unbounded(declared: inspect.Type, path: str) -> Iterator[str]:
    """Yield the path of every part of a type that may be longer than ``MOST``, or as long as it likes."""
    plain, extra = unwrapped(declared)
    match plain:
        case inspect.StructType():
            for field in plain.fields:
                yield from unbounded(field.type, f"{path}.{field.encode_name}")
        case inspect.ListType():
            yield from _without_maximum(plain.max_length, path, _MAX_MEMBERS)
            yield from unbounded(plain.item_type, f"{path}[]")
        case inspect.DictType():
            yield from _without_maximum(extra.get("characters"), path)
        case inspect.StrType() | inspect.BytesType():
            yield from _without_maximum(plain.max_length, path)
        case inspect.IntType():
            yield from _without_maximum(plain.le, path)
        case inspect.EnumType() | inspect.BoolType() | inspect.FloatType():
            pass
        case _:
            yield f"{path}: {plain}"


def _without_maximum(maximum: int | None, path: str, most: int = MOST) -> Iterator[str]:
    if maximum is None or maximum > most:
        yield path


def maps(declared: inspect.Type, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield the path of every map in a type."""
    plain, _ = unwrapped(declared)
    if isinstance(plain, inspect.DictType):
        yield path
    elif isinstance(plain, inspect.StructType):
        for field in plain.fields:
            yield from maps(field.type, (*path, field.encode_name))


@pytest.mark.parametrize("name", ROWS)
def test_every_member_has_a_bound(name: str) -> None:
    assert list(unbounded(inspect.type_info(ROWS[name].request), name)) == []


def test_the_check_finds_members_without_a_bound() -> None:
    class Wrong(msgspec.Struct):
        text: str
        inner: list[dict[str, str]] | None = None
        number: int = 0

    assert set(unbounded(inspect.type_info(Wrong), "Wrong")) == {
        "Wrong.text",
        "Wrong.inner",
        "Wrong.inner[]",
        "Wrong.number",
    }


MAPS = [(row.name, path) for row in ROWS.values() for path in maps(inspect.type_info(row.request), ())]


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> LocalDeployment:
    return LocalDeployment(tmp_path_factory.mktemp("data"), ManualClock(1_760_000_000.0))


@pytest.mark.parametrize(("operation", "path"), MAPS, ids=lambda each: each if isinstance(each, str) else each[-1])
def test_the_bound_of_a_map_is_checked(deployment: LocalDeployment, operation: str, path: tuple[str, ...]) -> None:
    key_id = deployment.call("CreateKey")["KeyMetadata"]["KeyId"]
    blob = deployment.call("Encrypt", KeyId=key_id, Plaintext="eA==")["CiphertextBlob"]
    more = {
        "Encrypt": {"Plaintext": "eA=="},
        "Decrypt": {"CiphertextBlob": blob},
        "ReEncrypt": {"CiphertextBlob": blob, "DestinationKeyId": key_id},
        "GenerateDataKey": {"KeySpec": "AES_256"},
        "GenerateDataKeyPair": {"KeyPairSpec": "ECC_NIST_P256"},
        "GenerateDataKeyPairWithoutPlaintext": {"KeyPairSpec": "ECC_NIST_P256"},
        "CreateGrant": {"Operations": ["Encrypt"], "GranteePrincipal": "arn:aws:iam::000000000000:root"},
    }
    large: object = {"k": "v" * MAX_SIZE}
    for name in reversed(path):
        large = {name: large}
    assert isinstance(large, dict)
    with pytest.raises(Refused) as caught:
        deployment.call(operation, KeyId=key_id, **more.get(operation, {}), **large)
    assert caught.value.code == "ValidationException"
    assert caught.value.message in {
        f"The encryption context is larger than {MAX_SIZE} characters.",
        "An encryption context constraint can have at most 8 pairs of at most 384 characters.",
    }
