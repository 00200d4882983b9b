import pytest

from strongroom.iam.entities import (
    ENTITY_TYPES,
    EntityKind,
    Group,
    InlinePolicy,
    Link,
    ManagedPolicy,
    PolicyVersion,
    Relation,
    Role,
    User,
)

POLICY = "arn:aws:iam::111122223333:policy/Keys"


def named(name: str, path: str = "/", partition: str = "aws") -> dict[str, str | float]:
    return {
        "account": "111122223333",
        "name": name,
        "unique_id": "id",
        "created_at": 1.0,
        "path": path,
        "partition": partition,
    }


@pytest.mark.parametrize(
    ("kind", "extra", "arn"),
    [
        (User, {}, "arn:aws:iam::111122223333:user/Alice"),
        (User, {"path": "/staff/it/"}, "arn:aws:iam::111122223333:user/staff/it/Alice"),
        (Group, {}, "arn:aws:iam::111122223333:group/Alice"),
        (Role, {"partition": "aws-cn", "trust_policy": "{}"}, "arn:aws-cn:iam::111122223333:role/Alice"),
        (ManagedPolicy, {"versions": ()}, "arn:aws:iam::111122223333:policy/Alice"),
    ],
)
def test_an_arn_has_partition_account_kind_path_and_name(kind: type, extra: dict[str, object], arn: str) -> None:
    assert kind(**(named("Alice") | extra)).arn == arn


def test_links_are_policies_boundary_and_groups() -> None:
    user = User(**named("a"), attached=(POLICY, "x"), boundary=POLICY, groups=("g", "h"))  # type: ignore[arg-type]
    assert user.links == (
        Link(Relation.ATTACHED, POLICY),
        Link(Relation.ATTACHED, "x"),
        Link(Relation.BOUNDARY, POLICY),
        Link(Relation.MEMBER, "g"),
        Link(Relation.MEMBER, "h"),
    )
    group = Group(**named("a"), attached=(POLICY,), inline=(InlinePolicy("p", "{}"),))  # type: ignore[arg-type]
    assert group.links == (Link(Relation.ATTACHED, POLICY),)
    assert ManagedPolicy(**named("a"), versions=()).links == ()  # type: ignore[arg-type]


def test_the_document_of_a_policy_is_that_of_its_default_version() -> None:
    versions = (PolicyVersion(2, "two", 1.0), PolicyVersion(7, "seven", 2.0))
    policy = ManagedPolicy(**named("a"), versions=versions, default_version=7)  # type: ignore[arg-type]
    assert (policy.document, versions[1].version_id) == ("seven", "v7")


def test_every_kind_of_entity_has_a_type() -> None:
    assert {kind: each.kind for kind, each in ENTITY_TYPES.items()} == {kind: kind for kind in EntityKind}
