"""Grants: when constraints are satisfied, which of two are stricter, and the index of grants."""

from collections.abc import Iterator

import pytest
from msgspec.structs import replace
from typing_extensions import override

from grants_builder import S1, S2, equals, make_grant, subset
from keys_builder import make_key
from strongroom.keys.grants import (
    Constraints,
    DelegationSearch,
    GrantIndex,
    GrantOperation,
    Party,
    TooManyCandidates,
    UseSearch,
    operations_of,
    pairs,
    terms_digest,
)
from strongroom.keys.specs import KeySpec, KeyUsage, Origin

ENCRYPT, DECRYPT = GrantOperation.ENCRYPT, GrantOperation.DECRYPT
DESCRIBE, RETIRE, CREATE = GrantOperation.DESCRIBE_KEY, GrantOperation.RETIRE_GRANT, GrantOperation.CREATE_GRANT
NONE = Constraints()
FROM_S1 = Constraints(source_arn=S1)


@pytest.mark.parametrize(
    ("constraints", "context", "admitted"),
    [
        (NONE, {}, True),
        (NONE, {"any": "thing"}, True),
        (equals(dept="IT"), {"dept": "IT"}, True),
        (equals(dept="IT"), {"Dept": "IT"}, True),
        (equals(DEPT="IT"), {"dept": "IT"}, True),
        (equals(dept="IT"), {"dept": "it"}, False),
        (equals(dept="IT"), {"dept": "IT", "more": ""}, False),
        (equals(dept="IT", year="26"), {"dept": "IT"}, False),
        (equals(dept="IT", year="26"), {"year": "26", "dept": "IT"}, True),
        (equals(dept="IT"), {}, False),
        (equals(), {}, True),
        (equals(), {"dept": "IT"}, False),
        (subset(dept="IT"), {"dept": "IT"}, True),
        (subset(dept="IT"), {"DEPT": "IT", "more": "x"}, True),
        (subset(dept="IT"), {"dept": "it"}, False),
        (subset(dept="IT"), {"more": "IT"}, False),
        (subset(dept="IT", year="26"), {"dept": "IT", "more": "x"}, False),
        (subset(dept="IT"), {"dept": "HR", "Dept": "IT"}, False),
        (subset(dept="IT"), {"dept": "IT", "Dept": "IT"}, True),
        (subset(dept="IT"), {"dept": "IT", "more": "x", "More": "y"}, True),
        (subset(dept="IT", Dept="HR"), {"dept": "IT", "Dept": "HR"}, True),
        (subset(dept="IT", Dept="HR"), {"dept": "IT", "Dept": "HR", "DEPT": "x"}, False),
        (subset(), {"any": "thing"}, True),
    ],
)
def test_which_encryption_contexts_satisfy_a_constraint(
    constraints: Constraints,
    context: dict[str, str],
    admitted: bool,  # noqa: FBT001 - a case
) -> None:
    assert constraints.admit(pairs(context)) is admitted
    index = GrantIndex(iter([make_grant(1, ENCRYPT, constraints=constraints)]))
    assert (index.find(UseSearch(ENCRYPT, pairs(context), None)) is not None) is admitted
    assert index.find(UseSearch(DECRYPT, pairs(context), None)) is None


@pytest.mark.parametrize("constraints", [equals(dept="IT"), subset(dept="IT", year="26")])
def test_context_constraints_do_not_apply_to_describe_key_and_retire_grant(constraints: Constraints) -> None:
    index = GrantIndex(iter([make_grant(1, ENCRYPT, DESCRIBE, RETIRE, constraints=constraints)]))
    for operation in (DESCRIBE, RETIRE):
        assert index.find(UseSearch(operation, pairs({}), None)) is not None
    assert index.find(UseSearch(ENCRYPT, pairs({}), None)) is None


def test_a_source_arn_applies_to_everything_but_retire_grant() -> None:
    index = GrantIndex(iter([make_grant(1, ENCRYPT, DESCRIBE, RETIRE, constraints=FROM_S1)]))
    for source, found in ((S1, True), (S2, False), (None, False)):
        assert (index.find(UseSearch(ENCRYPT, pairs({}), source)) is not None) is found
        assert (index.find(UseSearch(DESCRIBE, pairs({}), source)) is not None) is found
        assert index.find(UseSearch(RETIRE, pairs({}), source)) is not None
    both = GrantIndex(iter([make_grant(1, constraints=replace(subset(a="1"), source_arn=S1))]))
    assert both.find(UseSearch(ENCRYPT, pairs({"a": "1"}), S1)) is not None
    assert both.find(UseSearch(ENCRYPT, pairs({"a": "2"}), S1)) is None
    assert both.find(UseSearch(ENCRYPT, pairs({"a": "1"}), S2)) is None


# The constraints of a grant that is asked for, those of the grant its maker holds, and whether that is enough.
@pytest.mark.parametrize(
    ("asked", "held", "enough"),
    [
        (NONE, NONE, True),
        (equals(a="1"), NONE, True),
        (subset(a="1"), NONE, True),
        (FROM_S1, NONE, True),
        (NONE, equals(a="1"), False),
        (NONE, subset(a="1"), False),
        (NONE, FROM_S1, False),
        (equals(a="1"), equals(a="1"), True),
        (equals(A="1"), equals(a="1"), True),
        (equals(a="1"), equals(a="2"), False),
        (equals(a="1", b="2"), equals(a="1"), False),
        (subset(a="1"), equals(a="1"), False),
        (equals(), equals(), True),
        (NONE, equals(), False),
        (subset(), equals(), False),
        (subset(a="1"), subset(a="1"), True),
        (subset(A="1"), subset(a="1"), True),
        (subset(a="1", b="2"), subset(a="1"), True),
        (subset(a="1"), subset(a="1", b="2"), False),
        (subset(a="2"), subset(a="1"), False),
        (equals(a="1", b="2"), subset(a="1"), True),
        (equals(b="2"), subset(a="1"), False),
        (equals(), subset(a="1"), False),
        (NONE, subset(), True),
        (FROM_S1, FROM_S1, True),
        (Constraints(source_arn=S2), FROM_S1, False),
        (replace(subset(a="1"), source_arn=S1), FROM_S1, True),
        (replace(subset(a="1"), source_arn=S1), subset(a="1"), True),
        (subset(a="1"), replace(subset(a="1"), source_arn=S1), False),
        (FROM_S1, replace(subset(a="1"), source_arn=S1), False),
    ],
)
def test_which_constraints_are_at_least_as_strict(
    asked: Constraints,
    held: Constraints,
    enough: bool,  # noqa: FBT001 - a case
) -> None:
    assert asked.at_least_as_strict_as(held) is enough


def test_same_terms_ignores_id_time_order_of_operations_and_names_of_principals() -> None:
    grant = make_grant(1, ENCRYPT, DECRYPT, constraints=subset(a="1"), retiring="AIDABOB", name="n")
    again = replace(grant, grant_id="f" * 64, created_at=0.0, operations=(DECRYPT, ENCRYPT))
    again = replace(again, grantee=replace(grant.grantee, shown="x"), retiring=Party("y", "AIDABOB"))
    assert grant.same_terms(again)
    assert terms_digest(grant) == terms_digest(again)
    for other in (
        replace(grant, operations=(ENCRYPT,)),
        replace(grant, operations=(ENCRYPT, DECRYPT, DESCRIBE)),
        replace(grant, constraints=equals(a="1")),
        replace(grant, constraints=subset(a="2")),
        replace(grant, grantee=Party("AIDACAROL", "AIDACAROL")),
        replace(grant, grantee=replace(grant.grantee, service=True)),
        replace(grant, retiring=None),
        replace(grant, name="m"),
        replace(grant, issuing_account="444455556666"),
        replace(grant, key_id="another"),
        replace(grant, region="eu-west-1"),
    ):
        assert not grant.same_terms(other)
        assert terms_digest(grant) != terms_digest(other)


def test_removing_a_grant_leaves_the_others_in_the_index() -> None:
    grants = [make_grant(number, ENCRYPT, DECRYPT, constraints=subset(a="1", b=str(number))) for number in range(5)]
    index = GrantIndex(iter(grants))
    assert len(index) == 5
    assert index.remove(grants[2].grant_id)
    assert not index.remove(grants[2].grant_id)
    assert len(index) == 4
    for number, grant in enumerate(grants):
        for operation in (ENCRYPT, DECRYPT):
            found = index.find(UseSearch(operation, pairs({"a": "1", "b": str(number)}), None))
            assert found == (None if number == 2 else grant)


def test_adding_a_grant_twice_keeps_it_once() -> None:
    shared = [make_grant(number, constraints=subset(a="1")) for number in (2, 3)]
    grant = make_grant(1, constraints=subset(a="1", b="1"))
    index = GrantIndex(iter([grant, *shared, grant]))
    index.remove(grant.grant_id)
    for each in shared:
        index.remove(each.grant_id)
    assert len(index) == 0
    assert index.find(UseSearch(ENCRYPT, pairs({"a": "1", "b": "1"}), None)) is None


@pytest.mark.parametrize("shared", ["app", "zone"])
def test_grants_that_share_a_pair_are_indexed_by_another_pair(shared: str) -> None:
    """It does not matter which of the two pairs sorts first."""
    index = GrantIndex(iter(make_grant(n, constraints=subset(**{shared: "x", "tenant": f"{n}"})) for n in range(2_000)))
    candidates = list(index.candidates(UseSearch(ENCRYPT, pairs({shared: "x", "tenant": "1999"}), None)))
    assert len(candidates) <= 2
    assert index.find(UseSearch(ENCRYPT, pairs({shared: "x", "tenant": "1999"}), None)) in candidates
    assert index.find(UseSearch(ENCRYPT, pairs({shared: "x", "tenant": "2000"}), None)) is None


ALWAYS = {"CreateGrant", "RetireGrant", "DescribeKey"}
DATA_KEYS = {
    "GenerateDataKey",
    "GenerateDataKeyWithoutPlaintext",
    "GenerateDataKeyPair",
    "GenerateDataKeyPairWithoutPlaintext",
}


@pytest.mark.parametrize(
    ("spec", "usage", "fit"),
    [
        ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", {"Encrypt", "Decrypt", "ReEncryptFrom", "ReEncryptTo"} | DATA_KEYS),
        ("RSA_2048", "ENCRYPT_DECRYPT", {"Encrypt", "Decrypt", "ReEncryptFrom", "ReEncryptTo", "GetPublicKey"}),
        ("ECC_NIST_P256", "SIGN_VERIFY", {"Sign", "Verify", "GetPublicKey"}),
        ("ECC_NIST_P256", "KEY_AGREEMENT", {"DeriveSharedSecret", "GetPublicKey"}),
        ("HMAC_256", "GENERATE_VERIFY_MAC", {"GenerateMac", "VerifyMac"}),
        ("ML_KEM_768", "ENCAPSULATE_DECAPSULATE", {"Encapsulate", "Decapsulate", "GetPublicKey"}),
    ],
)
def test_the_grant_operations_of_each_kind_of_key(spec: str, usage: str, fit: set[str]) -> None:
    key = replace(make_key(1, origin=Origin.EXTERNAL), spec=KeySpec(spec), usage=KeyUsage(usage))
    assert set(map(str, operations_of(key))) == fit | ALWAYS


def test_a_search_that_would_compare_too_many_grants() -> None:
    grants = [make_grant(n, GrantOperation.CREATE_GRANT, name=f"{n}") for n in range(10)]
    index = GrantIndex(iter(grants))
    # None of them permits Decrypt: there is nothing to compare.
    assert index.find(DelegationSearch(frozenset({DECRYPT}), NONE, None), 3) is None
    index.add(make_grant(99, GrantOperation.CREATE_GRANT, DECRYPT))
    assert index.find(DelegationSearch(frozenset({DECRYPT}), NONE, None), 3) == make_grant(
        99, GrantOperation.CREATE_GRANT, DECRYPT
    )
    assert len(index.candidates(DelegationSearch(frozenset(), NONE, None))) == 11
    weaker = DelegationSearch(frozenset({GrantOperation.CREATE_GRANT}), NONE, None)
    assert index.find(weaker, 3) is not None
    limited = GrantIndex(iter([make_grant(n, GrantOperation.CREATE_GRANT, constraints=FROM_S1) for n in range(10)]))
    stronger = DelegationSearch(frozenset({GrantOperation.CREATE_GRANT}), NONE, S1)
    with pytest.raises(TooManyCandidates):
        limited.find(stronger, 9)
    assert limited.find(stronger, 11) is None


def test_an_encryption_context_is_gone_through_once_for_many_grants() -> None:
    """Two hundred comparisons with a context of 2,600 pairs held the event loop for 57 ms."""

    class Counted(frozenset[tuple[str, str]]):
        times = 0

        @override
        def __iter__(self) -> Iterator[tuple[str, str]]:
            Counted.times += 1
            return super().__iter__()

    have = Counted(pairs({"dept": "IT", "Dept": "HR", "of": "this test alone"}))
    grants = [make_grant(n, constraints=subset(dept="IT"), name=f"{n}") for n in range(200)]
    assert not any(UseSearch(ENCRYPT, have, None).permits(grant) for grant in grants)
    assert Counted.times == 1
