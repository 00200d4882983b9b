"""Principals in policies and grants: whether they exist, and the unique ids of the users and roles among them."""

import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

import msgspec

from strongroom.arns import account_in, parse_arn
from strongroom.iam.document import NamedPrincipal, PrincipalType
from strongroom.iam.entities import Entity, Role, User
from strongroom.iam.principals import service_name
from strongroom.keys.grants import Party
from strongroom.keys.key_policy import pretty
from strongroom.store.subjects.identities import IdentityReader

_SERVICE = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.amazonaws\.com(\.cn)?")


class UnknownPrincipal(Exception):
    """A policy or a request names a principal that does not exist here."""


def pin(reader: IdentityReader, principals: Iterable[NamedPrincipal]) -> tuple[tuple[str, str], ...]:
    """Return the ARNs of users and roles among ``principals`` with their unique ids.

    Raises UnknownPrincipal for one of type ``AWS`` that does not exist. Services and identity providers are not
    checked.
    """
    pinned = []
    accounts = _Accounts(reader)
    for principal in principals:
        if principal.type is PrincipalType.AWS:
            entity = _existing(reader, principal.account or principal.value, accounts)
            if entity is not None and principal.value == entity.arn:
                pinned.append((entity.arn, entity.unique_id))
    return tuple(pinned)


def current_names(reader: IdentityReader, pinned: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the current names of pinned users and roles whose ARN has changed, by their former ARN.

    The name is the current ARN. For a deleted user or role it is the unique id, as on AWS.
    """
    names = {}
    for arn, unique_id in pinned:
        entity = reader.entity_by_id(unique_id)
        name = unique_id if entity is None else entity.arn
        if name != arn:
            names[arn] = name
    return names


def with_current_names(reader: IdentityReader, text: str, pinned: Iterable[tuple[str, str]]) -> str:
    """Return a policy document with the current names of its users and roles.

    Only principals change. An ARN in a condition is compared as text, so it stays.
    """
    names = current_names(reader, pinned)
    if not names:
        return text
    document: Any = msgspec.json.decode(text)
    statements = document["Statement"]
    for statement in statements if isinstance(statements, list) else [statements]:
        for element in ("Principal", "NotPrincipal"):
            principal = statement.get(element)
            if isinstance(principal, dict) and PrincipalType.AWS in principal:
                principal[PrincipalType.AWS] = _renamed(principal[PrincipalType.AWS], names)
    return pretty(document)


def _renamed(named: str | list[str], names: Mapping[str, str]) -> str | list[str]:
    return names.get(named, named) if isinstance(named, str) else [names.get(each, each) for each in named]


def party(reader: IdentityReader, principal: str) -> Party:
    """Return the party that a grant names: an account, a user, a role or one of its sessions, a federated user.

    AWS also takes a service by its name here, and shows it as it was named. Raises UnknownPrincipal if any other does
    not exist.
    """
    if _SERVICE.fullmatch(principal):
        return Party(principal, service_name(principal))
    account = _whole_account(principal)
    entity = _existing(reader, account or principal, _Accounts(reader))
    if account is not None:
        return Party(principal, account)
    return Party(principal, entity.unique_id if entity is not None and entity.arn == principal else principal)


def service_party(name: str) -> Party:
    """Return a service as the party of a grant, named as ``GranteeServicePrincipal`` or its like."""
    return Party(name, service_name(name), service=True)


def is_unique_id(name: str) -> bool:
    """Tell whether a name has the form of the unique id of a user or role, which may be deleted."""
    return name.startswith(("AIDA", "AROA"))


def account_of(reader: IdentityReader, named: Party) -> str:
    """Return the account of a party that is not a service; raises UnknownPrincipal for a deleted user or role."""
    if is_unique_id(named.shown):
        return _required(reader.entity_by_id(named.shown)).account
    return account_in(named.shown) or named.shown


def _whole_account(principal: str) -> str | None:
    if principal.isdecimal():
        return principal
    arn = parse_arn(principal)
    return arn.account if arn is not None and arn.resource == "root" else None


class _Accounts:
    """The accounts that exist, read once for all principals of a policy."""

    def __init__(self, reader: IdentityReader) -> None:
        self._reader = reader

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(record.account for record in self._reader.accounts())

    def require(self, account: str) -> None:
        """Raise UnknownPrincipal for an account that does not exist."""
        if account not in self._known:
            raise UnknownPrincipal(account)


def _existing(reader: IdentityReader, name: str, accounts: _Accounts) -> Entity | None:
    """Return the user or role with a name; None for roots and federated users; raises UnknownPrincipal."""
    if is_unique_id(name):
        return _required(reader.entity_by_id(name))
    if name.isdecimal():
        accounts.require(name)
        return None
    arn = parse_arn(name)
    if arn is None or arn.service not in {"iam", "sts"}:
        raise UnknownPrincipal(name)
    account, kind = arn.account, arn.resource_type
    accounts.require(account)
    if kind == "assumed-role":
        return _required(reader.entity(Role, account, arn.resource_id.partition("/")[0]))
    if kind in {"federated-user", "root"}:
        return None
    entity: Entity | None = None
    if kind in {"user", "role"}:
        entity = reader.entity(User if kind == "user" else Role, account, arn.resource_name)
    return _required(entity if entity is not None and entity.arn == name else None)


def _required(entity: Entity | None) -> Entity:
    if entity is None:
        raise UnknownPrincipal
    return entity
