"""The record of a domain key that is in a token: its id, sealed, in a way of its own."""

import pytest
from msgspec.structs import replace

from local_deployment import entropy
from strongroom.crypto.domain_keys import (
    IAM_SCOPE,
    DomainKeys,
    OpenDomainKey,
    create_domain_key,
    seal_domain_keys,
    token_domain_key,
    unseal_domain_keys,
)
from strongroom.crypto.envelope import KeyWrapper, Wrapper
from strongroom.crypto.seal import UnsealError
from strongroom.crypto.seals.root_key import RootKeySeal, generation_of, new_root_key, temporary_seal

ID = bytes(range(16))


def test_a_record_says_that_the_key_is_in_a_token_and_which() -> None:
    seal = temporary_seal(entropy)
    record = token_domain_key("us-east-1", 3, ID, seal)
    assert unseal_domain_keys([record], seal) == [OpenDomainKey("us-east-1", 3, ID, in_token=True)]
    for wrong in (replace(record, scope="eu-west-1"), replace(record, version=2), replace(record, scope=IAM_SCOPE)):
        with pytest.raises(UnsealError):
            unseal_domain_keys([wrong], seal)


def test_a_rotation_of_the_root_key_keeps_it_what_it_is() -> None:
    before, after = temporary_seal(entropy), RootKeySeal(new_root_key(entropy, 2), entropy)
    records = [token_domain_key("us-east-1", 1, ID, before), create_domain_key("eu-west-1", 1, before, entropy)]
    resealed = seal_domain_keys(unseal_domain_keys(records, before), after)
    assert [generation_of(each) for each in resealed] == [2, 2]
    assert unseal_domain_keys(resealed, after) == unseal_domain_keys(records, before)


def test_what_wraps_is_asked_for_by_the_id() -> None:
    seal, asked = temporary_seal(entropy), list[OpenDomainKey]()

    def wrapper(opened: OpenDomainKey) -> KeyWrapper:
        asked.append(opened)
        return Wrapper(bytes(32), opened.version, entropy)

    records = [create_domain_key(IAM_SCOPE, 1, seal, entropy), token_domain_key("us-east-1", 1, ID, seal)]
    keys = DomainKeys(records, seal, entropy, wrapper)
    assert asked == [*keys.in_token] == [OpenDomainKey("us-east-1", 1, ID, in_token=True)]
    assert keys.unwrap("us-east-1", keys.wrap("us-east-1", b"x", b"b"), b"b") == b"x"


def test_without_a_token_nothing_of_its_region_opens() -> None:
    seal = temporary_seal(entropy)
    keys = DomainKeys([token_domain_key("us-east-1", 1, ID, seal)], seal, entropy)
    with pytest.raises(UnsealError):
        keys.wrap("us-east-1", b"x", b"b")
