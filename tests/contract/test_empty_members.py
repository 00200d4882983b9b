"""An optional list or map that a client sends empty: the call is taken, or refused, as it is without that member.

Terraform's provider for AWS, for one, sends every map of a structure, those that were not configured too.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from key_kinds import KeyKind, KeyMaker
from local_deployment import LocalDeployment
from request_mutations import MODEL
from rolled_back_calls import outcome, rolling_back
from strongroom.clock import ManualClock
from valid_requests import RequestCase, ValidRequests

KINDS = {
    "ENCRYPT_DECRYPT": "SYMMETRIC_DEFAULT",
    "SIGN_VERIFY": "ECC_NIST_P256",
    "GENERATE_VERIFY_MAC": "HMAC_256",
    "KEY_AGREEMENT": "ECC_NIST_P256",
    "ENCAPSULATE_DECAPSULATE": "ML_KEM_512",
}
"""Key usage → the spec of the key that is called with."""
WITHOUT_A_KEY = [
    RequestCase("CreateKey", {}),
    RequestCase("ListKeys", {}),
    RequestCase("GenerateRandom", {"NumberOfBytes": 8}),
]
NOTHING: dict[str, Any] = {"list": [], "map": {}}


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalDeployment]:
    local = LocalDeployment(tmp_path_factory.mktemp("empty") / "data", ManualClock(1_790_000_000.0))
    yield local
    local.deployment.close()


@pytest.fixture(scope="module")
def cases(local: LocalDeployment) -> dict[str, list[RequestCase]]:
    """Return valid requests by the usage of the key that they are for."""
    maker = KeyMaker(local)
    valid = ValidRequests(maker)
    kinds = {usage: KeyKind(spec, usage) for usage, spec in KINDS.items()}
    return {usage: valid.requests(maker.make(kind)) for usage, kind in kinds.items()} | {"": WITHOUT_A_KEY}


def empty_members(asked: RequestCase) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield pairs of requests: the second has optional lists or maps of the operation that the first has not, empty.

    A structure with several maps is sent with none of them, then with one and the others empty.
    """
    shape = MODEL.operation_model(asked.operation).input_shape
    for name in shape.members.keys() - asked.request.keys():
        member = shape.members[name]
        if member.type_name in NOTHING and not member.metadata.get("min"):
            yield asked.request, asked.request | {name: NOTHING[member.type_name]}
        if member.type_name == "structure":
            maps = [each for each, inner in member.members.items() if inner.type_name == "map"]
            empty: dict[str, Any] = {each: {} for each in maps}
            for filled in [{}, *({each: {"a": "b"}} for each in maps)] if maps else []:
                yield asked.request | {name: filled}, asked.request | {name: empty | filled}


@pytest.mark.parametrize("usage", ["", *KINDS])
def test_an_empty_list_or_map_is_as_good_as_none(
    local: LocalDeployment, cases: dict[str, list[RequestCase]], usage: str
) -> None:
    different = []
    for asked in cases[usage]:
        for without, with_empty in empty_members(asked):
            with rolling_back(local):
                one, other = (outcome(local, RequestCase(asked.operation, each)) for each in (without, with_empty))
            if one != other:
                different.append(f"{asked} {with_empty}: {other} instead of {one}")
    assert different == []


def test_maps_of_structures_are_among_them() -> None:
    tried = [other for _, other in empty_members(RequestCase("CreateGrant", {}))]
    assert {"GrantTokens": []} in tried
    assert {"Constraints": {"EncryptionContextEquals": {"a": "b"}, "EncryptionContextSubset": {}}} in tried
