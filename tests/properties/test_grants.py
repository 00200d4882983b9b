"""Laws of grants: none permits more than its operations, constraints, key and grantee."""

import shutil
import tempfile
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

import reference_grants
from empty_database import put_empty_database
from grants_builder import HOLDER, make_grant
from keys_builder import locator, make_key
from reference_grants import NAMES, SOURCES, Use
from strongroom.crypto.key_backends import KeyBackends
from strongroom.crypto.service_secrets import ServiceSecrets
from strongroom.keys.grants import Constraints, Grant, GrantIndex, GrantOperation, UseSearch, labels_wanted, pairs
from strongroom.snapshot.snapshot import Snapshot
from strongroom.store.sql.transaction import SqlTransaction
from strongroom.store.sqlite.engine import open_sqlite
from strongroom.store.sqlite.store import SqlStore

OPERATIONS = [
    GrantOperation.ENCRYPT,
    GrantOperation.DECRYPT,
    GrantOperation.DESCRIBE_KEY,
    GrantOperation.RETIRE_GRANT,
    GrantOperation.CREATE_GRANT,
]
# No name of a constraint is "other", which stands for what no grant speaks of.
# CreateGrant refuses constraints that name a key twice.
contexts = st.dictionaries(st.sampled_from(NAMES[:3]), st.sampled_from(["1", "2"]), max_size=3).filter(
    lambda context: len(pairs(context)) == len({name.lower() for name in context})
)
constraints = st.builds(
    lambda kind, context, source: Constraints(
        context_equals=context if kind == "equals" else None,
        context_subset=context if kind == "subset" else None,
        source_arn=source,
    ),
    st.sampled_from(["none", "equals", "subset"]),
    contexts,
    st.sampled_from(SOURCES),
)
several = st.lists(st.sampled_from(OPERATIONS), min_size=1, max_size=3, unique=True)


@st.composite
def lists(draw: st.DrawFn) -> list[Grant]:
    drawn = draw(st.lists(st.tuples(several, constraints), max_size=12))
    return [make_grant(n, *operations, constraints=when) for n, (operations, when) in enumerate(drawn)]


calls = st.builds(
    Use,
    st.sampled_from(["Encrypt", "Decrypt", "DescribeKey", "RetireGrant"]),
    st.dictionaries(st.sampled_from(NAMES), st.sampled_from(["1", "2"])),
    st.sampled_from(SOURCES),
)


def written(grant: Grant) -> dict[str, Any]:
    """Return a grant as CreateGrant has it."""
    when = grant.constraints
    given_ = {
        "EncryptionContextEquals": when.context_equals,
        "EncryptionContextSubset": when.context_subset,
        "SourceArn": when.source_arn,
    }
    return {
        "Operations": [str(operation) for operation in grant.operations],
        "Constraints": {name: value for name, value in given_.items() if value is not None},
    }


acts = st.one_of(
    st.tuples(st.just("give"), several, constraints),
    st.tuples(st.just("end"), st.integers(0, 20), st.none()),
    st.tuples(st.just("ask"), calls, st.none()),
)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database with one key."""
    path = tmp_path_factory.mktemp("grants") / "strongroom.db"
    put_empty_database(path)
    store = SqlStore(open_sqlite(path))
    store.write(lambda transaction: transaction.add_key(make_key(1)))
    store.close()
    return path


@settings(max_examples=100)
@given(st.lists(acts, max_size=40), st.sampled_from([1, 3]), st.sampled_from([5, 1000]))
def test_a_worker_finds_a_grant_exactly_if_there_is_one_however_few_it_has_read(
    empty: Path,
    key_backends: KeyBackends,
    service_secrets: ServiceSecrets,
    happened: list[tuple[Any, ...]],
    at_once: int,
    room: int,
) -> None:
    given_: dict[int, Grant] = {}
    with (
        pytest.MonkeyPatch.context() as patch,
        tempfile.TemporaryDirectory() as folder,
        closing(SqlStore(open_sqlite(Path(shutil.copy(empty, folder))))) as store,
    ):
        patch.setattr("strongroom.snapshot.grants._PAGE", at_once)
        snapshot = Snapshot(store, key_backends, service_secrets, room)
        for number, (act, what, when) in enumerate(happened):
            if act == "give":
                grant = given_[number] = make_grant(number, *what, constraints=when)
                store.write(partial(SqlTransaction.add_grant, grant=grant))
            elif act == "end" and what in given_:
                store.write(partial(SqlTransaction.remove_grant, grant=given_.pop(what)))
            elif act == "ask":
                snapshot.refresh()
                operation, have = GrantOperation(what.operation), pairs(what.context)
                search = UseSearch(operation, have, what.source)
                found = snapshot.grants.find(
                    locator(1), [HOLDER], labels_wanted(operation, have), search, may_wait=True
                )
                assert (found is not None) is any(
                    reference_grants.permits(written(grant), what) for grant in given_.values()
                )
                assert found is None or (found in given_.values() and reference_grants.permits(written(found), what))


def found_by(index: GrantIndex, use: Use) -> Grant | None:
    return index.find(UseSearch(GrantOperation(use.operation), pairs(use.context), use.source))


@settings(max_examples=500)
@given(lists(), calls, st.sets(st.integers(0, 11)))
def test_the_index_finds_a_grant_exactly_if_the_reference_evaluator_has_one(
    grants: list[Grant], use: Use, removed: set[int]
) -> None:
    index = GrantIndex(iter(grants))
    for number in removed:
        index.remove(f"{number:064x}")
    left = [grant for number, grant in enumerate(grants) if number not in removed]
    found = found_by(index, use)
    assert (found is not None) is any(reference_grants.permits(written(grant), use) for grant in left)
    if found is not None:
        assert found in left
        assert reference_grants.permits(written(found), use)


@settings(max_examples=200)
@given(constraints, constraints)
def test_a_request_within_stricter_constraints_is_within_looser_ones(asked: Constraints, held: Constraints) -> None:
    one, other = make_grant(1, constraints=asked), make_grant(2, constraints=held)
    assert asked.at_least_as_strict_as(held) is reference_grants.covers([written(other)], written(one))


@given(constraints, constraints, constraints)
def test_strictness_is_an_order(one: Constraints, two: Constraints, three: Constraints) -> None:
    assert one.at_least_as_strict_as(one)
    if one.at_least_as_strict_as(two) and two.at_least_as_strict_as(three):
        assert one.at_least_as_strict_as(three)


@given(lists(), several, constraints)
def test_to_add_and_then_remove_leaves_the_index_as_it_was(
    grants: list[Grant], operations: list[GrantOperation], when: Constraints
) -> None:
    index = GrantIndex(iter(grants))
    files = {key: dict(grants) for key, grants in index._grants.items()}
    grant = make_grant(99, *operations, constraints=when)
    index.add(grant)
    assert index.remove(grant.grant_id)
    assert index._grants == files
    assert len(index) == len(grants)


@given(lists(), st.randoms())
def test_an_index_from_which_all_is_removed_is_empty(grants: list[Grant], random: Any) -> None:
    index = GrantIndex(iter(grants))
    for grant in random.sample(grants, len(grants)):
        index.remove(grant.grant_id)
    assert (index._grants, len(index)) == ({}, 0)


@given(lists(), calls, st.sampled_from(OPERATIONS), constraints)
def test_another_grant_never_takes_a_permission_away(
    grants: list[Grant], use: Use, operation: GrantOperation, when: Constraints
) -> None:
    before = found_by(GrantIndex(iter(grants)), use)
    after = found_by(GrantIndex(iter([*grants, make_grant(99, operation, constraints=when)])), use)
    assert before is None or after is not None


@given(constraints, st.lists(st.sampled_from(OPERATIONS), min_size=1, unique=True))
def test_the_same_terms_permit_the_same(when: Constraints, operations: list[GrantOperation]) -> None:
    grant = make_grant(1, *operations, constraints=when)
    again = replace(grant, grant_id="f" * 64, operations=tuple(reversed(operations)))
    assert grant.same_terms(again)
    assert reference_grants.covers([written(grant)], written(again))
