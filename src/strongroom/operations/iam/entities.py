"""Finds, names and changes entities, and refuses requests: shared by their operations."""

import base64
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

from msgspec.structs import replace

from strongroom.arns import known_arn, parse_arn
from strongroom.entropy import Entropy
from strongroom.errors import (
    EntityAlreadyExistsException,
    InvalidInputException,
    LimitExceededException,
    MalformedPolicyDocumentException,
    NoSuchEntityException,
    TargetChanged,
    ValidationException,
)
from strongroom.iam import MalformedPolicy, PolicyDocument, PolicyKind, accept_policy
from strongroom.iam.entities import Entity, EntityKind, Group, Holder, InstanceProfile, Role, User
from strongroom.keys.names import DUPLICATE_KEYS, MAX_TAGS, folded
from strongroom.operations.condition_key_actions import BOUNDARY_KEY
from strongroom.operations.condition_parameters import ConditionParameters
from strongroom.operations.context import Context
from strongroom.operations.iam.shapes import Tag
from strongroom.operations.targets import Target
from strongroom.store.protocol import Transaction
from strongroom.store.records import AccountRecord
from strongroom.store.scopes import AccountScope
from strongroom.store.subjects.identities import IdentityReader

E = TypeVar("E", bound=Entity)
N = TypeVar("N")
M = TypeVar("M", bound="NewEntity")
_PREFIXES = {
    EntityKind.USER: "AIDA",
    EntityKind.GROUP: "AGPA",
    EntityKind.ROLE: "AROA",
    EntityKind.POLICY: "ANPA",
    EntityKind.INSTANCE_PROFILE: "AIPA",
    # IAM shows no ids of providers. This one is not AWS's, and never shown.
    EntityKind.OIDC_PROVIDER: "OIDC",
}
_TAG_ACTIONS = {
    EntityKind.USER: "iam:TagUser",
    EntityKind.ROLE: "iam:TagRole",
    EntityKind.INSTANCE_PROFILE: "iam:TagInstanceProfile",
    EntityKind.OIDC_PROVIDER: "iam:TagOpenIDConnectProvider",
}
_MISSING = {EntityKind.INSTANCE_PROFILE: "Instance Profile {} cannot be found."}
_TAKEN = {EntityKind.INSTANCE_PROFILE: "Instance Profile {} already exists."}
_ID_BYTES = 11
_ID_CHARACTERS = 17
_MAX_INLINE = {EntityKind.USER: 2048, EntityKind.GROUP: 5120, EntityKind.ROLE: 10240}
MAX_MANAGED_POLICY = 6144
MAX_TRUST_POLICY = 2048


def new_id(kind: EntityKind, entropy: Entropy) -> str:
    """Return a unique id of 21 characters: four letters for the kind, 17 letters or digits (85 random bits)."""
    return _PREFIXES[kind] + base64.b32encode(entropy(_ID_BYTES)).decode()[:_ID_CHARACTERS]


def required_account(reader: IdentityReader, account: str) -> AccountRecord:
    """Return an account; raises NoSuchEntityException."""
    record = reader.account(account)
    if record is None:
        raise NoSuchEntityException(f"The account {account} cannot be found.")
    return record


def required(reader: IdentityReader, kind: type[E], account: str, name: str) -> E:
    """Return an entity by its name; raises NoSuchEntityException."""
    entity = reader.entity(kind, account, name)
    if entity is None:
        text = _MISSING.get(kind.kind, f"The {kind.kind} with name {{}} cannot be found.")
        raise NoSuchEntityException(text.format(name))
    return entity


def authorized(context: Context, reader: IdentityReader, kind: type[E], name: str) -> E:
    """Return an entity by its name, in the transaction that changes it; raises NoSuchEntityException.

    Raises TargetChanged if the call was authorized for entities of this kind, but not for this one: the name, or the
    entity's, was changed in the meantime.
    """
    entity = required(reader, kind, context.caller.account, name)
    targets = filter(None, map(parse_arn, context.authorized))
    # The resource type alone tells the kind: a path can contain ``:user/`` too.
    named = [str(arn) for arn in targets if arn.resource_type == entity.kind]
    if named and entity.arn not in named:
        raise TargetChanged
    return entity


def require_free(reader: IdentityReader, kind: type[E], account: str, name: str) -> None:
    """Refuse a name that exists, without regard to case; raises EntityAlreadyExistsException."""
    if reader.entity(kind, account, name) is not None:
        text = _TAKEN.get(kind.kind, f"{kind.kind.value.capitalize()} with name {{}} already exists.")
        raise EntityAlreadyExistsException(text.format(name))


def require_name(name: str | None) -> str:
    """Return a user's name; raises ValidationException where a caller that is not a user left it out."""
    if name is None:
        raise ValidationException("Must specify userName when calling with non-User credentials")
    return name


def change(context: Context, kind: type[E], name: str, transition: Callable[[Transaction, E], E]) -> E:
    """Change an entity durably and return it as it is now; raises NoSuchEntityException, TargetChanged.

    ``transition`` may be run again, so it must have no effect but its result.
    """

    def change_entity(transaction: Transaction) -> E:
        before = authorized(context, transaction, kind, name)
        after = transition(transaction, before)
        if after != before:
            transaction.put_entity(after, before)
        return after

    return context.backends.store.write(change_entity, AccountScope(context.caller.account))


class NamesUser(Protocol):
    """A request with the name of a user; None means the caller."""

    @property
    def user_name(self) -> str | None:
        """The user's name."""
        ...


class NamesGroup(Protocol):
    """A request with the name of a group."""

    @property
    def group_name(self) -> str:
        """The group's name."""
        ...


class NamesRole(Protocol):
    """A request with the name of a role."""

    @property
    def role_name(self) -> str:
        """The role's name."""
        ...


class NamesInstanceProfile(Protocol):
    """A request with the name of an instance profile."""

    @property
    def instance_profile_name(self) -> str:
        """The instance profile's name."""
        ...


class NewEntity(Protocol):
    """A request that makes a user, group, role or instance profile."""

    @property
    def path(self) -> str | None:
        """The path of the new entity."""
        ...

    def condition_parameters(self, action: str) -> ConditionParameters:
        """Return the parameters that condition keys read; the tags are those of the new entity."""
        ...


def _user_name(request: NamesUser) -> str | None:
    return request.user_name


def _group_name(request: NamesGroup) -> str:
    return request.group_name


def _role_name(request: NamesRole) -> str:
    return request.role_name


def _instance_profile_name(request: NamesInstanceProfile) -> str:
    return request.instance_profile_name


_NAMES: dict[EntityKind, Callable[[Any], str | None]] = {
    EntityKind.USER: _user_name,
    EntityKind.GROUP: _group_name,
    EntityKind.ROLE: _role_name,
    EntityKind.INSTANCE_PROFILE: _instance_profile_name,
}


def named(request: Any, kind: type[Entity]) -> str:  # noqa: ANN401 - a request with that name, see ``iam/table.py``
    """Return the name in the member that the kind requires: ``user_name``, ``group_name`` and so on.

    Raises ValidationException where a request has left out the name.
    """
    return require_name(_NAMES[kind.kind](request))


def arn_of(context: Context, kind: EntityKind, name: str, path: str = "/") -> str:
    """Return the ARN an entity of the caller's account would have."""
    return f"arn:{context.caller.partition}:iam::{context.caller.account}:{kind}{path}{name}"


def renamed_arn(arn: str, name: str | None, path: str | None) -> str:
    """Return the ARN an entity would have under another name or path; None keeps the present one."""
    old = known_arn(arn)
    return str(replace(old, resource=f"{old.resource_type}{path or old.resource_path}{name or old.resource_name}"))


def target_of(context: Context, action: str, kind: type[Entity], name: str) -> Target:
    """Return the target of an action on an entity. It need not exist: a refusal must not tell whether it does."""
    with context.read() as reader:
        entity = reader.entity(kind, context.caller.account, name)
    if entity is None:
        return Target(action, arn_of(context, kind.kind, name))
    boundary = entity.boundary if isinstance(entity, Holder) else None
    claims = {} if boundary is None else {BOUNDARY_KEY: (boundary,)}
    return Target(action, entity.arn, tags=entity.tags, claims=claims)


def entity_called(reader: IdentityReader, arn: str, account: str, kinds: Iterable[type[Entity]]) -> Entity | None:
    """Return the entity of an account that an ARN names, if it is of one of the kinds; None if there is none."""
    parsed = parse_arn(arn)
    if parsed is None or parsed.account != account:
        return None
    for kind in kinds:
        if kind.kind == parsed.resource_type:
            entity = reader.entity(kind, account, parsed.resource_name)
            # Names are found whatever their case, and their paths are not looked at: an ARN means exactly one.
            return entity if entity is not None and entity.arn == arn else None
    return None


def on_entity(
    kind: type[Entity], name_in: Callable[[N], str | None]
) -> Callable[[str], Callable[[Context, N], Sequence[Target]]]:
    """Return, for an action, the locator of requests that name an entity.

    ``name_in`` returns the name in a request. None means the caller.
    """

    def locator(action: str) -> Callable[[Context, N], Sequence[Target]]:
        def locate(context: Context, request: N) -> Sequence[Target]:
            name = name_in(request) or (context.caller.user_name if kind is User else None)
            if name is None:
                return (Target(action, context.caller.arn),)
            return (target_of(context, action, kind, name),)

        return locate

    return locator


on_user, on_group, on_role = on_entity(User, _user_name), on_entity(Group, _group_name), on_entity(Role, _role_name)
on_instance_profile = on_entity(InstanceProfile, _instance_profile_name)


def on_new(kind: EntityKind, name_in: Callable[[M], str]) -> Callable[[str], Callable[[Context, M], Sequence[Target]]]:
    """Return, for an action, the locator of requests that make an entity. Tags need permission for a second action."""

    def locator(action: str) -> Callable[[Context, M], Sequence[Target]]:
        def locate(context: Context, request: M) -> Sequence[Target]:
            arn = arn_of(context, kind, name_in(request), request.path or "/")
            create = Target(action, arn)
            tagged = request.condition_parameters(action).tags
            return (create, Target(_TAG_ACTIONS[kind], arn)) if tagged else (create,)

        return locate

    return locator


def accepted_document(text: str, kind: PolicyKind, *, managed: bool = False) -> PolicyDocument:
    """Return a new policy document, of a managed policy or not; raises MalformedPolicyDocumentException."""
    try:
        return accept_policy(text, kind, managed=managed)
    except MalformedPolicy as error:
        raise MalformedPolicyDocumentException(str(error)) from None


def size_of(document: str) -> int:
    """Return a document's size as quotas count it: without white space."""
    return len("".join(document.split()))


def require_size(document: str, limit: int, quota: str = "PolicySize") -> None:
    """Refuse a document over its quota; raises LimitExceededException."""
    if size_of(document) > limit:
        raise LimitExceededException(f"Cannot exceed quota for {quota}: {limit}")


def require_inline_size(holder: Holder) -> None:
    """Refuse inline policies that together exceed their quota; raises LimitExceededException."""
    limit = _MAX_INLINE[holder.kind]
    if sum(size_of(policy.document) for policy in holder.inline) > limit:
        raise LimitExceededException(f"Maximum policy size of {limit} bytes exceeded for {holder.kind} {holder.name}")


def merged_tags(existing: tuple[tuple[str, str], ...], added: Sequence[Tag]) -> tuple[tuple[str, str], ...]:
    """Return the tags after more were added. Keys are not case-sensitive, and keep the case of the request.

    Raises InvalidInputException for duplicate keys, ValidationException for reserved ones, LimitExceededException for
    too many.
    """
    keys = [folded(tag.key) for tag in added]
    if len(set(keys)) != len(keys):
        raise InvalidInputException(DUPLICATE_KEYS)
    if any(key.startswith("aws:") for key in keys):
        raise ValidationException("Tag keys starting with aws: are reserved for internal use.")
    kept = {folded(key): (key, value) for key, value in existing} | {folded(tag.key): tag.pair for tag in added}
    if len(kept) > MAX_TAGS:
        raise LimitExceededException(f"The number of tags has reached the maximum limit of {MAX_TAGS}.")
    return tuple(sorted(kept.values()))
