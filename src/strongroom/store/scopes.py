"""Scopes of writes: the accounts and keys that a write checks and changes.

Writers of the same scope wait for each other.
"""

from typing import TypeAlias

import msgspec


class AccountScope(msgspec.Struct, frozen=True, order=True):
    """The scope of one account: its identities, alias names, custom key stores and quotas.

    An empty ``account`` is the scope of what belongs to no account: the list of accounts, services, domain keys and the
    audit key.
    """

    account: str


class KeyScope(msgspec.Struct, frozen=True, order=True):
    """A KMS key with all related multi-Region keys, and its grants, tags and aliases."""

    account: str
    key_id: str


class NewKeyScope(msgspec.Struct, frozen=True, order=True):
    """What a new KMS key of an account in a Region needs: room below the quota, and the domain key of the Region.

    Of that domain key the writers need not wait for each other, only for the one that destroys it.
    """

    account: str
    region: str


Scope: TypeAlias = AccountScope | KeyScope | NewKeyScope
"""What a write checks and changes; other writers of the same scope wait for it.

So that no two writes wait for each other, a store locks accounts, then keys, then what new keys need, and each kind in
ascending order.
"""
