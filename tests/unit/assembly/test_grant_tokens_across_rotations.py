"""Grant tokens that clients keep while the domain key that sealed them is rotated and destroyed.

Clients may send them with every call for years; the AWS Encryption SDK has grant tokens in its settings.
"""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from domain_key_scene import command, rotate
from key_kinds import KeyKind, KeyMaker
from local_deployment import LocalDeployment, Refused
from strongroom.clock import ManualClock
from strongroom.crypto.domain_keys import IAM_SCOPE
from strongroom.operations.kms.table import TABLE
from valid_requests import RequestCase, ValidRequests

GRANTEE = "arn:aws:iam::000000000000:root"
KINDS = (
    KeyKind("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"),
    KeyKind("ECC_NIST_P256", "SIGN_VERIFY"),
    KeyKind("HMAC_256", "GENERATE_VERIFY_MAC"),
    KeyKind("ECC_NIST_P256", "KEY_AGREEMENT"),
    KeyKind("ML_KEM_768", "ENCAPSULATE_DECAPSULATE"),
)
TAKING = {name for name, row in TABLE.items() if "grant_tokens" in row.request.__struct_fields__}


@pytest.fixture
def local(tmp_path: Path) -> Iterator[LocalDeployment]:
    local = LocalDeployment(tmp_path / "data", ManualClock(1_790_000_000.0))
    yield local
    local.deployment.close()


@pytest.fixture
def key_id(local: LocalDeployment) -> str:
    return str(local.call("CreateKey")["KeyMetadata"]["KeyId"])


def grant(local: LocalDeployment, key_id: str) -> dict[str, Any]:
    return local.call("CreateGrant", KeyId=key_id, GranteePrincipal=GRANTEE, Operations=["Encrypt", "RetireGrant"])


def destroy_old(local: LocalDeployment) -> None:
    """Rotate the domain key that seals grant tokens, and destroy the older version."""
    rotate(local, IAM_SCOPE)
    with command(local) as opened:
        assert opened.domain_keys.destroy_old((IAM_SCOPE,)) == [IAM_SCOPE]


def cases(local: LocalDeployment) -> list[RequestCase]:
    """Return valid requests of all operations that take grant tokens."""
    maker = KeyMaker(local)
    requests = ValidRequests(maker)
    found = [
        case
        for kind in KINDS
        for made in [maker.make(kind)]
        for case in requests.requests(made)
        if case.operation in TAKING
    ]
    return [case for case in found if succeeds(local, case)]


def succeeds(local: LocalDeployment, case: RequestCase) -> bool:
    try:
        local.call(case.operation, **case.request)
    except Refused:
        # Not every operation fits every kind of key.
        return False
    return True


def test_no_call_is_refused_for_a_token_whose_domain_key_was_destroyed(local: LocalDeployment, key_id: str) -> None:
    found = cases(local)
    assert {case.operation for case in found} == TAKING
    token = grant(local, key_id)["GrantToken"]
    destroy_old(local)
    for case in found:
        assert local.call(case.operation, **case.request, GrantTokens=[token]), case


def test_what_never_was_a_token_is_refused_also_after_a_rotation(local: LocalDeployment, key_id: str) -> None:
    token = base64.urlsafe_b64decode(grant(local, key_id)["GrantToken"])
    destroy_old(local)
    fresh = base64.urlsafe_b64decode(grant(local, key_id)["GrantToken"])
    forged = {
        "no envelope": b"t" * 80,
        "too short": token[:20],
        "of version 0": token[:1] + bytes(4) + token[5:],
        "of a version to come": token[:1] + (3).to_bytes(4) + token[5:],
        "of the version in use": token[:1] + fresh[1:5] + token[5:],
        "changed": fresh[:-1] + bytes((fresh[-1] ^ 1,)),
    }
    for why, content in forged.items():
        text = base64.urlsafe_b64encode(content).decode()
        with pytest.raises(Refused) as refused:
            local.call("Encrypt", KeyId=key_id, Plaintext="eA==", GrantTokens=[text])
        assert refused.value.code == "InvalidGrantTokenException", why


def test_an_older_token_is_still_opened_while_its_domain_key_is_kept(local: LocalDeployment, key_id: str) -> None:
    made = grant(local, key_id)
    rotate(local, IAM_SCOPE)
    local.call("RetireGrant", GrantToken=made["GrantToken"])
    assert local.call("ListGrants", KeyId=key_id)["Grants"] == []


def test_retire_grant_asks_for_the_key_and_grant_id_once_the_token_cannot_be_opened(
    local: LocalDeployment, key_id: str
) -> None:
    made = grant(local, key_id)
    destroy_old(local)
    with pytest.raises(Refused) as refused:
        local.call("RetireGrant", GrantToken=made["GrantToken"])
    assert refused.value.code == "InvalidGrantTokenException"
    assert refused.value.message.endswith("Name the grant by its key ARN and grant ID.")
    arn = local.call("DescribeKey", KeyId=key_id)["KeyMetadata"]["Arn"]
    local.call("RetireGrant", KeyId=arn, GrantId=made["GrantId"])
    assert local.call("ListGrants", KeyId=key_id)["Grants"] == []
