"""Grants in the whole decision: they apply only to their grantee and their key, and delegation adds no permission."""

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

import reference_grants
from grants_builder import make_grant
from keys_builder import make_key
from local_deployment import ORIGIN, LocalDeployment
from policies import ALICE_ID, AWAY, CAROL, HOME, ROLE_ID, SESSION, alice, allow, backup, carol, compiled, worker
from policies import document as written_policy
from reference_grants import NAMES, SOURCES, Json, Use
from strongroom.clock import ManualClock
from strongroom.iam import Policies, PolicyKind, Principal
from strongroom.keys.grants import Constraints, Grant, GrantOperation
from strongroom.keys.kms_key import KmsKey
from strongroom.operations.authorization import decide_on
from strongroom.operations.condition_keys import DecisionContext
from strongroom.operations.context import Context
from strongroom.operations.kms.grant_shapes import CreateGrantRequest, GrantConstraints
from strongroom.operations.kms.targets import on_key
from strongroom.operations.shapes import Request
from strongroom.service.explanations import Question
from strongroom.snapshot.principals import Credential
from strongroom.store.protocol import Transaction

# A key policy that applies to none of the callers here: only a grant can allow a call.
STRANGER = "arn:aws:iam::777788889999:root"
EVERYTHING = compiled(PolicyKind.IDENTITY, allow())

# The caller, and the names by which a grant can name the caller itself, or the session's role.
CALLERS: list[tuple[Principal, set[str]]] = [
    (alice, {ALICE_ID}),
    (worker, {SESSION, ROLE_ID}),
    (carol, {CAROL}),
    (backup, {"Service:backup.amazonaws.com"}),
]
GRANTEES = [ALICE_ID, SESSION, ROLE_ID, CAROL, "Service:backup.amazonaws.com", HOME, AWAY, "AIDASOMEBODYELSE"]
OPERATIONS = [
    GrantOperation.ENCRYPT,
    GrantOperation.DECRYPT,
    GrantOperation.DESCRIBE_KEY,
    GrantOperation.CREATE_GRANT,
]

GivenOut = list[tuple[str, int, Json]]
"""To whom, on which of two keys, and on which terms."""

Who = tuple[tuple[Principal, set[str]], bool]
"""One of the callers, and whether an identity policy allows it everything."""

numbers = itertools.count(1)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalDeployment]:
    local = LocalDeployment(tmp_path_factory.mktemp("data"), ManualClock(1_790_000_000.0))
    yield local
    local.deployment.close()


terms = st.fixed_dictionaries(
    {"Operations": st.lists(st.sampled_from(OPERATIONS), min_size=1, max_size=3, unique=True)},
    optional={
        "Constraints": st.fixed_dictionaries(
            {},
            optional={
                "EncryptionContextSubset": st.dictionaries(st.sampled_from(NAMES[:3]), st.just("1"), max_size=2),
                "SourceArn": st.sampled_from(SOURCES[1:]),
            },
        )
        | st.fixed_dictionaries(
            {"EncryptionContextEquals": st.dictionaries(st.sampled_from(NAMES[:3]), st.just("1"), max_size=2)}
        )
    },
)
given_out = st.lists(st.tuples(st.sampled_from(GRANTEES), st.integers(0, 1), terms), max_size=8)
callers = st.tuples(st.sampled_from(CALLERS), st.booleans())
calls = st.builds(
    Use,
    st.sampled_from(["Encrypt", "Decrypt", "DescribeKey"]),
    st.dictionaries(st.sampled_from(NAMES), st.sampled_from(["1", "2"]), max_size=3),
    st.sampled_from(SOURCES),
)
few = settings(max_examples=150)


def make(local: LocalDeployment, grants: GivenOut) -> list[KmsKey]:
    """Make two keys with these grants on them."""
    first, second = next(numbers), next(numbers)
    keys = [replace(make_key(number), policy=written_policy(allow(STRANGER))) for number in (first, second)]

    def change(transaction: Transaction) -> None:
        for key in keys:
            transaction.add_key(key)
        for to, which, asked in grants:
            transaction.add_grant(grant_of(next(numbers), (first, second)[which], to, asked))

    local.deployment.backends.store.write(change)
    local.deployment.backends.snapshot.refresh()
    return keys


def grant_of(number: int, key: int, to: str, asked: Json) -> Grant:
    when = asked.get("Constraints", {})
    constraints = Constraints(
        when.get("EncryptionContextEquals"), when.get("EncryptionContextSubset"), when.get("SourceArn")
    )
    return make_grant(number, *asked["Operations"], key=key, to=to, constraints=constraints)


def allows(
    local: LocalDeployment, who: tuple[Principal, bool], key: KmsKey, source: str | None, request: Request
) -> bool:
    """Decide as the service does on one of its targets."""
    principal, has_policy = who
    credential = Credential(
        access_key_id="", secret="", principal=principal, policies=Policies(identity=[EVERYTHING] if has_policy else [])
    )
    action = f"kms:{getattr(request, 'action', 'CreateGrant')}"
    context = Context(
        backends=local.deployment.backends,
        credential=credential,
        region="us-east-1",
        now=0.0,
        action=action,
        rule=None,
        cross_account=True,
        origin=replace(ORIGIN, source_arn=source),
    )
    target = on_key(context, action, key.arn)
    return decide_on(DecisionContext(context, request, target, (target,))).allowed


class Doing(Question):
    """A call of one action."""

    action: str = ""


def held_by(who: Who, key: int, grants: GivenOut) -> list[Json]:
    """Return what a caller holds on a key: its own grants and, with an identity policy, its account's.

    A caller of another account than the key's needs that policy for its own grants too.
    """
    (principal, names), has_policy = who
    usable = set(names) if has_policy or principal.account in {HOME, ""} else set()
    if has_policy and principal.account:
        usable.add(principal.account)
    return [asked for to, which, asked in grants if which == key and to in usable]


@few
@given(given_out, callers, st.integers(0, 1), calls)
def test_a_call_is_allowed_exactly_if_a_grant_to_its_caller_on_its_key_permits_it(
    local: LocalDeployment,
    grants: GivenOut,
    who: Who,
    key: int,
    use: Use,
) -> None:
    keys = make(local, grants)
    (principal, _), has_policy = who
    request = Doing(action=use.operation, encryption_context=use.context)
    expected = any(reference_grants.permits(grant, use) for grant in held_by(who, key, grants))
    assert allows(local, (principal, has_policy), keys[key], use.source, request) is expected


@st.composite
def passing_on(draw: st.DrawFn) -> tuple[GivenOut, Who, Json]:
    """Draw grants, a caller who holds one more that lets it make grants, and what it asks for: often much the same."""
    who: Who = draw(callers)
    held: Json = draw(terms)
    held["Operations"] = list(dict.fromkeys([*held["Operations"], GrantOperation.CREATE_GRANT]))
    grants = [*draw(given_out), (draw(st.sampled_from(sorted(who[0][1]))), 0, held)]
    asked: Json = draw(terms)
    if draw(st.booleans()):
        asked["Constraints"] = held.get("Constraints", {})
    if draw(st.booleans()):
        asked["Operations"] = held["Operations"][:1]
    return grants, who, asked


@few
@given(passing_on(), st.sampled_from(SOURCES))
def test_a_grantee_cannot_pass_on_more_than_its_grant_permits(
    local: LocalDeployment,
    passing: tuple[GivenOut, Who, Json],
    source: str | None,
) -> None:
    grants, who, asked = passing
    keys = make(local, grants)
    (principal, _), has_policy = who
    when = asked.get("Constraints", {})
    request = CreateGrantRequest(
        key_id=keys[0].key_id,
        operations=asked["Operations"],
        grantee_principal=ALICE_ID,
        constraints=GrantConstraints(
            when.get("EncryptionContextSubset"), when.get("EncryptionContextEquals"), when.get("SourceArn")
        ),
    )
    held = [
        grant
        for grant in held_by(who, 0, grants)
        if "CreateGrant" in grant["Operations"] and grant.get("Constraints", {}).get("SourceArn") in {None, source}
    ]
    expected = any(
        set(asked["Operations"]) <= set(grant["Operations"]) and reference_grants.tighter(asked, grant)
        for grant in held
    )
    assert allows(local, (principal, has_policy), keys[0], source, request) is expected
    if expected:
        assert reference_grants.covers(held, asked)
