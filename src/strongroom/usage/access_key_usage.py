"""The last use of access keys, and of each service by users and roles.

Uses are noted in memory on every call, and written to the database from time to time. One note serves both: that of an
access key names its user. Sessions have no row of their own, so theirs are noted under the role or user behind them.
"""

from collections.abc import Sequence
from typing import Protocol

from strongroom.store.protocol import Store, Transaction
from strongroom.store.records import AccessKeyUse, PrincipalUse

SERVICES = ("iam", "kms", "sts")
_GRANULARITY = 60.0
_AT_ONCE = 500

_Use = tuple[float, str, str]
"""When, in epoch seconds; the Region; the unique id of the user or role, empty for roots and services."""


class UsedCredential(Protocol):
    """A credential, as far as its uses are concerned; ``Credential`` explains both members."""

    @property
    def used_as(self) -> str:
        """What its uses are noted under."""
        ...

    @property
    def unique_id(self) -> str:
        """The user or role that it speaks for."""
        ...


class AccessKeyUsage:
    """Notes the uses of access keys and sessions. Safe to use from several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._latest: dict[str, dict[str, _Use]] = {service: {} for service in SERVICES}
        self._written: dict[tuple[str, str], float] = {}
        """When a service's use by a credential was last written, if that is not long ago."""

    def note(self, credential: UsedCredential, now: float, region: str, service: str) -> None:
        """Note a use of a service."""
        self._latest[service][credential.used_as] = (now, region, credential.unique_id)

    def write(self, now: float) -> None:
        """Write new uses to the database, those of one service by one credential at most once a minute.

        ``now`` is in epoch seconds; if it is infinite, all uses are written.
        """
        due = sorted(
            (used_as, service, use)
            for service, noted in self._latest.items()
            for used_as, use in noted.copy().items()
            if not _is_recent(self._written.get((service, used_as), float("-inf")), now)
        )
        self._written = {place: at for place, at in self._written.items() if _is_recent(at, now)}
        for start in range(0, len(due), _AT_ONCE):
            # In several transactions, so that other writers need not wait for all of them.
            batch = due[start : start + _AT_ONCE]
            self._save(batch, now)
            for used_as, service, use in batch:
                self._written[service, used_as] = now
                self._drop(self._latest[service], used_as, use)

    def _save(self, batch: Sequence[tuple[str, str, _Use]], now: float) -> None:
        by_keys = [
            AccessKeyUse(used_as, used_at, region, service)
            for used_as, service, (used_at, region, unique_id) in batch
            if used_as != unique_id
        ]
        by_principals: dict[tuple[str, str], PrincipalUse] = {}
        for _, service, (used_at, region, unique_id) in batch:
            known = by_principals.get((unique_id, service))
            if unique_id and (known is None or known.used_at <= used_at):
                by_principals[unique_id, service] = PrincipalUse(unique_id, service, used_at, region)

        def save(transaction: Transaction) -> None:
            # All writers use the same order, so that they cannot deadlock on each other's rows.
            for use in by_keys:
                transaction.note_access_key_use(use, now)
            transaction.note_principal_uses([by_principals[place] for place in sorted(by_principals)], now)

        self._store.write(save)

    @staticmethod
    def _drop(noted: dict[str, _Use], used_as: str, written: _Use) -> None:
        latest = noted.pop(used_as, written)
        if latest is not written:
            # Noted meanwhile; a call on another thread may even have noted a later one by now.
            noted.setdefault(used_as, latest)


def _is_recent(written_at: float, now: float) -> bool:
    """Tell whether something was written within the last minute, by a clock that can be set back."""
    return 0 <= now - written_at < _GRANULARITY
