"""Grants."""

from typing import Protocol

from strongroom.keys.arns import KeyLocator
from strongroom.keys.grants import Grant, Label
from strongroom.store.records import GrantFilter


class GrantReader(Protocol):
    """Reads of grants."""

    def grant(self, locator: KeyLocator, grant_id: str) -> Grant | None:
        """Return a grant."""
        ...

    def labels_of_grants_to(self, locator: KeyLocator, grantee: str) -> set[Label]:
        """Return the labels of the grants on a key to one grantee, which is named as in policies.

        The label ANY_CONTEXT, of grants that do not depend on an encryption context, is not returned.
        """
        ...

    def grants_to(self, locator: KeyLocator, grantee: str, label: Label, after: str, limit: int) -> list[Grant]:
        """List the grants on a key to one grantee that have a label, by grant id."""
        ...

    def grants_named(self, locator: KeyLocator, name: str) -> list[Grant]:
        """List the grants on a key that have a name."""
        ...

    def count_grants(self, locator: KeyLocator) -> int:
        """Return how many grants a key has."""
        ...

    def grants(self, locator: KeyLocator, which: GrantFilter, after: str, limit: int) -> list[Grant]:
        """List a key's grants by grant id."""
        ...

    def retirable_grants(self, region: str, retiring: str, after: str, limit: int) -> list[Grant]:
        """List the grants in a Region that a principal may retire, ``after`` one named ``GRANT_ID/KEY_ID``."""
        ...


class GrantWriter(Protocol):
    """Writes of grants."""

    def add_grant(self, grant: Grant, limit: int | None = None) -> bool:
        """Insert a grant; return False and write nothing if the key has ``limit`` grants already.

        A constraint refuses a second grant with the same name and the same terms on the same key.
        """
        ...

    def remove_grant(self, grant: Grant) -> None:
        """Remove a grant."""
        ...
