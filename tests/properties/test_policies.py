"""Laws of the decision for any policies, and agreement with a reference evaluator."""

import json
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

import reference_iam
from policies import (
    ALICE,
    AWAY,
    AWAY_ROOT,
    BOB,
    CAROL,
    HOME,
    KEY,
    ROLE,
    ROOT,
    SESSION,
    Json,
    alice,
    bob,
    carol,
    root,
    worker,
)  # fmt: skip
from reference_iam import AccessRequest, ApplicablePolicies, Caller
from strongroom.iam import (
    AuthorizationRequest,
    CompiledPolicy,
    Policies,
    PolicyKind,
    Principal,
    compile_policy,
    decide,
    parse_policy,
)  # fmt: skip

PRINCIPALS = [ROOT, HOME, ALICE, BOB, ROLE, SESSION, CAROL, AWAY_ROOT, AWAY, "*"]
ACTIONS = ["kms:Encrypt", "kms:Decrypt", "kms:enc*", "kms:*", "*", "kms:??crypt", "kms:Sign", "s3:*"]
RESOURCES = ["*", KEY, KEY[:-1] + "?", "arn:aws:kms:*:*:key/*", "arn:aws:kms:us-east-1:*:alias/*", KEY[:-1] + "c"]
RESOURCES += [KEY[:-1] + "${aws:PrincipalTag/end}", KEY[:-2] + "?${aws:PrincipalTag/End, 'b'}"]
TEXTS = ["x", "y", "x*", "", "?"]
VARIABLES = ["${aws:PrincipalTag/end}", "x${aws:PrincipalTag/End}*", "${a:two}", "${A:One, 'y'}", "${a:none}"]
VALUES = TEXTS + VARIABLES
KEYS = ["a:one", "A:Two", "aws:PrincipalAccount"]
OPERATORS = [
    f"{qualifier}{name}{suffix}"
    for qualifier in ("", "ForAllValues:", "ForAnyValue:")
    for name in ("StringEquals", "StringNotEquals", "StringLike", "StringNotLike")
    for suffix in ("", "IfExists")
]
CALLERS: list[tuple[Principal, str | None]] = [(alice, None), (bob, None), (root, None), (worker, ROLE), (carol, None)]


def several(choices: list[str]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(choices), min_size=1, max_size=2, unique=True)


conditions = st.dictionaries(
    st.sampled_from(OPERATORS),
    st.dictionaries(st.sampled_from(KEYS), several(VALUES), min_size=1, max_size=2),
    max_size=2,
) | st.fixed_dictionaries(
    {"Null": st.dictionaries(st.sampled_from(KEYS), several(["true", "false"]).map(lambda x: x[:1]))}
)


@st.composite
def statements(draw: st.DrawFn, *, identity: bool) -> Json:
    statement: Json = {"Effect": draw(st.sampled_from(["Allow", "Allow", "Deny"]))}
    if not identity:
        negated = draw(st.sampled_from([False, False, False, True]))
        named = draw(several(PRINCIPALS[:-1] if negated else PRINCIPALS))
        statement["NotPrincipal" if negated else "Principal"] = {"AWS": named}
    statement[draw(st.sampled_from(["Action", "Action", "NotAction"]))] = draw(several(ACTIONS))
    statement[draw(st.sampled_from(["Resource", "Resource", "NotResource"]))] = draw(several(RESOURCES))
    condition = draw(conditions)
    if condition:
        statement["Condition"] = condition
    return statement


def lists(*, identity: bool) -> st.SearchStrategy[list[Json]]:
    return st.lists(statements(identity=identity), max_size=3)


held = st.builds(
    ApplicablePolicies,
    key=lists(identity=False),
    identity=lists(identity=True),
    boundary=st.none() | lists(identity=True),
    session=st.none() | lists(identity=True),
    grant=st.booleans(),
)


@st.composite
def questions(draw: st.DrawFn) -> tuple[AuthorizationRequest, AccessRequest]:
    principal, role = draw(st.sampled_from(CALLERS))
    action = draw(st.sampled_from(["kms:Encrypt", "kms:Decrypt", "kms:Sign"]))
    context = draw(st.dictionaries(st.sampled_from(["a:one", "a:two"]), st.lists(st.sampled_from(TEXTS), max_size=3)))
    tags = draw(st.just({}) | st.fixed_dictionaries({"End": st.sampled_from(["b", "x", "*"])}))
    principal = msgspec.structs.replace(principal, tags=tags)
    keys = {"aws:principalaccount": principal.account} | {f"aws:principaltag/{key.lower()}": tags[key] for key in tags}
    caller = Caller(principal.arn, role, principal.account, keys)
    return AuthorizationRequest(principal, action, KEY, context.get), AccessRequest(caller, action, KEY, context)


def compiled(kind: PolicyKind, listed: list[Json]) -> CompiledPolicy:
    return compile_policy(
        parse_policy(json.dumps({"Version": "2012-10-17", "Statement": listed or [NOTHING[kind]]}), kind)
    )


NOTHING: dict[PolicyKind, Any] = {
    PolicyKind.RESOURCE: {"Effect": "Allow", "Principal": {"AWS": "*"}},
    PolicyKind.IDENTITY: {"Effect": "Allow", "Action": "none:None", "Resource": "*"},
}


def policies(of: ApplicablePolicies) -> Policies:
    def own(listed: list[Json] | None) -> list[CompiledPolicy]:
        return [compiled(PolicyKind.IDENTITY, listed)] if listed else []

    return Policies(
        resource=compiled(PolicyKind.RESOURCE, of.key),
        identity=own(of.identity),
        boundary=own(of.boundary),
        session=own(of.session),
        grant="g" if of.grant else None,
    )


@settings(max_examples=600)
@given(questions(), held)
def test_the_compiled_form_decides_as_the_reference_evaluator(
    asked: tuple[AuthorizationRequest, AccessRequest], have: ApplicablePolicies
) -> None:
    request, question = asked
    assert decide(request, policies(have)).allowed is reference_iam.permits(question, have)


@given(questions(), held, statements(identity=False), statements(identity=True))
def test_adding_a_deny_never_allows(
    asked: tuple[AuthorizationRequest, AccessRequest], have: ApplicablePolicies, more_key: Json, more_iam: Json
) -> None:
    if not decide(asked[0], policies(have)).allowed:
        stricter = have._replace(
            key=[*have.key, more_key | {"Effect": "Deny"}], identity=[*have.identity, more_iam | {"Effect": "Deny"}]
        )
        assert not decide(asked[0], policies(stricter)).allowed


@given(questions(), held, statements(identity=False), statements(identity=True))
def test_adding_an_allow_never_denies(
    asked: tuple[AuthorizationRequest, AccessRequest], have: ApplicablePolicies, more_key: Json, more_iam: Json
) -> None:
    if decide(asked[0], policies(have)).allowed:
        looser = have._replace(
            key=[*have.key, more_key | {"Effect": "Allow"}], identity=[*have.identity, more_iam | {"Effect": "Allow"}]
        )
        assert decide(asked[0], policies(looser)).allowed


@given(questions(), held, st.randoms())
def test_order_is_irrelevant(
    asked: tuple[AuthorizationRequest, AccessRequest], have: ApplicablePolicies, random: Any
) -> None:
    before = decide(asked[0], policies(have))
    shuffled = have._replace(
        key=random.sample(have.key, len(have.key)), identity=random.sample(have.identity, len(have.identity))
    )
    after = decide(asked[0], policies(shuffled))
    assert (before.allowed, before.reason, before.source) == (after.allowed, after.reason, after.source)


@settings(max_examples=300)
@given(questions(), held, st.dictionaries(st.sampled_from(["a:one", "a:two"]), st.lists(st.sampled_from(TEXTS))))
def test_decisions_without_conditions_do_not_depend_on_the_circumstances(
    asked: tuple[AuthorizationRequest, AccessRequest], have: ApplicablePolicies, other: dict[str, list[str]]
) -> None:
    request, _ = asked
    say = policies(have)
    everything = [each for each in (say.resource, *say.identity, *say.boundary, *say.session) if each is not None]
    if not any(policy.varies(request.action) for policy in everything):
        elsewhere = msgspec.structs.replace(request, context=other.get)
        assert decide(request, say) == decide(elsewhere, say)
