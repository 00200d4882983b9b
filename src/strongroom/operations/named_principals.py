"""Principals in policies and grants: which parties they are, and the unique ids of the users and roles among them."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from strongroom.arns import account_in
from strongroom.iam.document import NamedPrincipal, PrincipalType
from strongroom.iam.entities import Entity
from strongroom.iam.principals import PrincipalKind, service_name
from strongroom.keys.arns import root_arn
from strongroom.keys.grants import Party
from strongroom.keys.key_policy import pretty
from strongroom.snapshot.principals import principal_named
from strongroom.store.subjects.identities import IdentityReader

_SERVICE = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.amazonaws\.com(\.cn)?")


class UnknownPrincipal(Exception):
    """A policy or a request names a principal that does not exist here."""


def pin(reader: IdentityReader, principals: Iterable[NamedPrincipal]) -> tuple[tuple[str, str], ...]:
    """Return the ARNs of users and roles among ``principals`` with their unique ids.

    Raises UnknownPrincipal for one of type ``AWS`` that does not exist. Services and identity providers are not
    checked.
    """
    named = [each.value for each in principals if each.type is PrincipalType.AWS]
    found = [(value, _name_of(reader, value)) for value in named]
    return tuple((value, name) for value, name in found if is_unique_id(name) and name != value)


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


def party(reader: IdentityReader, principal: str, region: str, *, by_id: bool = False) -> Party:
    """Return the party that a grant on a key of a Region names: an account, a user, a role or one of its sessions.

    ``by_id`` also takes the unique id of a user or role: to find grants, not to make one, because conditions on a
    request compare ARNs. AWS also takes a service by its name here, and shows it as it was named. Raises
    UnknownPrincipal if any other does not exist.
    """
    if _SERVICE.fullmatch(principal):
        return Party(principal, service_name(principal))
    if is_unique_id(principal) and not by_id:
        raise UnknownPrincipal(principal)
    return Party(shown_name(principal, region), _name_of(reader, principal))


def shown_name(principal: str, region: str) -> str:
    """Return the name by which conditions and lists show a principal that a request for a key of a Region names.

    An account has several names: its id, and its root's ARN in the partition of the Region or of the caller. Conditions
    compare text, so they see one of these only: the root's ARN in the partition of the Region.
    """
    account = NamedPrincipal(PrincipalType.AWS, principal).account
    return principal if account is None else root_arn(region, account)


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


def _name_of(reader: IdentityReader, text: str) -> str:
    """Return the name that is compared with callers' (``iam.Principal.own_names``): the one reading of such text.

    It is an account's id, the unique id of a user or role, or the ARN of a session. Raises UnknownPrincipal for
    whatever does not exist, and for an ARN that is not exactly as this service shows it.
    """
    if is_unique_id(text):
        return _required(reader.entity_by_id(text)).unique_id
    if text.isdecimal():
        if reader.account(text) is None:
            raise UnknownPrincipal(text)
        return text
    found = principal_named(reader, text)
    if found is None or found.kind is PrincipalKind.SERVICE:
        raise UnknownPrincipal(text)
    if found.kind is PrincipalKind.ASSUMED_ROLE and found.arn == text:
        return text
    return found.unique_id


def _required(entity: Entity | None) -> Entity:
    if entity is None:
        raise UnknownPrincipal
    return entity
