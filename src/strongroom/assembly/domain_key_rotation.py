"""Rotates domain keys: a new version wraps all that the older ones have wrapped, and these are destroyed.

1. The new version is stored. From then on every process wraps with it: it learns of it from the change log, and at the
   latest when it meets what that version has wrapped.
2. What older versions have wrapped is wrapped anew, some of it in each transaction. What is left to do follows from the
   database alone, so an interrupted rotation goes on where it was.
3. Import tokens, which live for a day, and sessions, which live for at most 36 hours, may still need an older version.
   After that time it is destroyed. The transaction that does so finds out that nothing stored needs it, and a later
   one that would store something under it fails (``store.sql.domain_keys``).
4. Grant tokens have no end, so clients may still have some that an older version has sealed. They are good for nothing
   but RetireGrant, which refuses them from then on (``operations.grant_tokens``).
"""

import logging
from collections.abc import Callable, Iterable, Sequence

import msgspec

from strongroom.assembly.announced_objects import AnnouncedObjects
from strongroom.assembly.command_trail import CommandTrail
from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.assembly.domain_keys import Protection, create_domain_keys
from strongroom.assembly.moves import NotMovableError, require_movable
from strongroom.assembly.protections import object_id_of
from strongroom.assembly.restored_objects import shared_objects, why_shared
from strongroom.assembly.rewrapping import Rewrapping
from strongroom.assembly.unsealing import Unsealing, while_resealed
from strongroom.audit.operator_events import KEY_SOURCE, OperatorEvent
from strongroom.clock import DAY, Clock
from strongroom.crypto.domain_keys import DomainKeys
from strongroom.crypto.pkcs11.wrapping import label_of
from strongroom.crypto.seal import SealedDomainKey, SealUnavailableError, UnsealError
from strongroom.crypto.token_errors import TokenFaultError, TokenTimeoutError, TokenUnavailableError
from strongroom.entropy import Entropy
from strongroom.first_few import first_few
from strongroom.settings import SettingsError
from strongroom.store.protocol import Store, Transaction
from strongroom.store.scopes import AccountScope
from strongroom.store.subjects.destructions import ErasedDomainKey
from strongroom.trusted_time import Moment

logger = logging.getLogger(__name__)

RETENTION = 36 * 3600.0
"""How long an older version is kept, in seconds: as long as a session at most (STS API Reference, GetSessionToken)."""

_AT_ONCE = 1.0
"""How long the keeper wraps anew in one round, in seconds."""
_PAUSE = 3600.0
"""The time after which the keeper tries again what could not be wrapped anew."""


class DomainKeyStatus(msgspec.Struct, frozen=True):
    """The domain key of a scope, a Region or ``iam``.

    ``version`` is the newest, made at ``created_at`` (epoch seconds; None by an older release). ``older`` are versions
    that still open what they have wrapped; ``remaining`` says how much of that is stored. They are destroyed after
    ``destroyed_after`` (epoch seconds), once nothing remains.
    """

    scope: str
    version: int
    created_at: float | None
    older: tuple[int, ...]
    remaining: int
    destroyed_after: float | None


class DomainKeyRotation:
    """Rotates the domain keys of an open data folder, also while servers use it."""

    def __init__(  # noqa: PLR0913 - what domain keys are made, used and recorded with
        self,
        folder: DataFolder,
        store: Store,
        domain_keys: DomainKeys,
        rewrapping: Rewrapping,
        unsealing: Unsealing,
        trail: CommandTrail,
        *,
        protection: Protection,
        clock: Clock,
        latest: Callable[[float], float],
        entropy: Entropy,
    ) -> None:
        """Rotate by ``clock``. ``latest`` returns the latest that it can be while the wall clock shows a time."""
        self._folder = folder
        self._store = store
        self._domain_keys = domain_keys
        self._rewrapping = rewrapping
        self._unsealing = unsealing
        self._trail = trail
        self._protection = protection
        self._clock = clock
        self._latest = latest
        self._entropy = entropy
        self._idle_until = float("-inf")
        self._refused_until: dict[str, float] = {}

    def status(self, scopes: Iterable[str] = ()) -> list[DomainKeyStatus]:
        """Return the state of each scope's domain key, or of some; raises DataFolderError for one that has none."""
        with self._store.read() as reader:
            sealed = reader.domain_keys()
        of_scope: dict[str, list[SealedDomainKey]] = {}
        for each in sealed:
            of_scope.setdefault(each.scope, []).append(each)
        chosen = [*dict.fromkeys(scopes)] or sorted(of_scope)
        for scope in chosen:
            if scope not in of_scope:
                raise DataFolderError(f"there is no domain key for `{scope}`; there is one for {', '.join(of_scope)}")
        return [self._status(of_scope[scope]) for scope in chosen]

    def own_scopes(self, scopes: Sequence[str] = ()) -> list[str]:
        """Return all scopes whose domain keys are opened here, or ``scopes``; raises DataFolderError if one is not.

        Only these can be rotated here: what they have wrapped has to be opened for it.
        """
        found = [each.scope for each in self.status(scopes)]
        others = [scope for scope in found if not self._domain_keys.opens(scope)]
        if others and scopes:
            raise DataFolderError(f"this node does not serve {', '.join(others)}; run this on one that does")
        return [scope for scope in found if scope not in others]

    def begin(self, scopes: Sequence[str], *, command: str = "domain-keys rotate", wait: bool = True) -> list[str]:
        """Make a new version for each scope, but not where a rotation is unfinished; return the scopes that got one.

        If it is not to ``wait``, it does nothing while another command changes something.

        Raises DataFolderError, UnsealError, SealUnavailableError, and NotMovableError before it changes anything.
        """
        with self._trail.changing(wait=wait) as alone:
            fresh = [each.scope for each in self.status(scopes) if not each.remaining] if alone else []
            if fresh:
                self._require_movable(fresh)
                event = OperatorEvent(
                    name="RotateDomainKey", command=command, source=KEY_SOURCE, details={"scopes": fresh}
                )
                with self._trail.recording(event):
                    self._add_versions(fresh)
        return fresh

    def rewrap(self, scope: str, advance: Callable[[int], object] = lambda _: None) -> tuple[str, ...]:
        """Wrap anew all of a scope that an older version has wrapped; return what could not be, by name.

        ``advance`` is called with the number that was done since the last call. Other commands take turns with it.
        Raises DataFolderError if the deployment was moved elsewhere meanwhile.
        """
        version = self.status([scope])[0].version
        left = self._rewrapping.remaining(scope, version)
        refused: tuple[str, ...] = ()
        while left:
            refused = self._rewrapping.run(scope, version, advance, turn=self._trail.changing)
            # What another writer has changed meanwhile is left.
            before, left = left, self._rewrapping.remaining(scope, version)
            if left >= before:
                break
        return refused

    def destroy_old(
        self, scopes: Sequence[str], *, command: str = "domain-keys destroy-old", wait: bool = True
    ) -> list[str]:
        """Destroy the older versions of domain keys, which nothing stored may need; return the scopes that had any.

        If it is not to ``wait``, it does nothing while another command changes something.

        Raises DataFolderError, and destroys nothing, if something stored still needs one.
        """
        with self._trail.changing(wait=wait) as alone:
            found = [each for each in self.status(scopes) if each.older] if alone else []
            for each in found:
                if each.remaining:
                    raise _still_needed(each.scope, each.remaining)
            if found:
                self._domain_keys.reread()
                gone = {(each.scope, version) for each in found for version in each.older}
                objects = [each for each in self._domain_keys.in_token if (each.scope, each.version) in gone]
                shared = shared_objects(self._folder, self._store)
                own = [
                    ErasedDomainKey(each.scope, each.version, object_id_of(each).hex())
                    for each in objects
                    if each.object_id not in shared
                ]
                details = {"domainKeys": {each.scope: each.older for each in found}}
                event = OperatorEvent(name="DestroyDomainKey", command=command, source=KEY_SOURCE, details=details)
                with self._trail.recording(event):
                    # The rows first: they may turn out to be needed still, and an object cannot be made again.
                    self._store.write(lambda transaction: self._remove(transaction, found, own), AccountScope(""))
                self._destroy_now(own)
                if len(own) < len(objects):
                    logger.warning(
                        "%d objects of destroyed domain keys stay in the token: %s",
                        len(objects) - len(own),
                        why_shared(self._folder),
                    )
                self._domain_keys.reread()
        return [each.scope for each in found]

    def keep(self, moment: Moment, every_days: int) -> None:
        """Do the keeper's part: begin rotations that are due, go on with them for a second, end what is over.

        ``every_days`` is the age at which domain keys are rotated; 0 for never.
        """
        if self._clock.timer() < self._idle_until:
            return
        # Without calls, this process has not learned of a rotation that a command has begun.
        self._domain_keys.reread()
        versions = self._domain_keys.versions()
        unfinished = len(versions) > len({scope for scope, _ in versions})
        if not (unfinished or every_days):
            return
        found = self.status(self.own_scopes())
        if every_days:
            due = self._movable(
                [each.scope for each in found if not each.older and _is_older(each, moment, every_days)]
            )
            if due and self._begin_due(due):
                logger.info("the domain keys of %s are rotated: their age is %d days", ", ".join(due), every_days)
                found = self.status(self.own_scopes())
        self._go_on([each for each in found if each.older], moment)

    def _begin_due(self, due: Sequence[str]) -> list[str]:
        """Begin rotations for the keeper. If the token refuses or is away, they are tried again in an hour."""
        try:
            return self.begin(due, command="keeper", wait=False)
        except (UnsealError, SealUnavailableError):
            self._refused_until.update(dict.fromkeys(due, self._clock.timer() + _PAUSE))
            raise

    def _require_movable(self, scopes: Sequence[str]) -> None:
        self._domain_keys.reread()
        require_movable(self._store, self._domain_keys, self._protection, scopes)

    def _movable(self, scopes: Sequence[str]) -> list[str]:
        """Return those of some scopes whose keys can be wrapped anew; tell why others cannot, and look every hour."""
        found: list[str] = []
        for scope in scopes:
            if self._clock.timer() < self._refused_until.get(scope, 0.0):
                continue
            try:
                self._require_movable([scope])
            except NotMovableError as error:
                logger.error("the domain key of %s is not rotated: %s", scope, error)  # noqa: TRY400 - it says all
                self._refused_until[scope] = self._clock.timer() + _PAUSE
            else:
                found.append(scope)
        return found

    def _go_on(self, found: Sequence[DomainKeyStatus], moment: Moment) -> None:
        deadline = self._clock.timer() + _AT_ONCE
        for each in found:
            if each.remaining:
                refused = self._rewrapping.run(each.scope, each.version, until=deadline)
                if refused:
                    logger.error(
                        "domain key %s of `%s` is kept, because this cannot be wrapped anew: %s",
                        "and ".join(map(str, each.older)),
                        each.scope,
                        first_few(refused),
                    )
                    self._idle_until = self._clock.timer() + _PAUSE
            elif (
                each.destroyed_after is not None
                and each.destroyed_after < moment.earliest
                and self.destroy_old([each.scope], command="keeper", wait=False)
            ):
                logger.info("older domain keys of `%s` are destroyed: nothing needs them any more", each.scope)
        if all(not each.remaining for each in found):
            # What is left is a matter of hours.
            self._idle_until = self._clock.timer() + 60.0

    def _status(self, of_scope: Sequence[SealedDomainKey]) -> DomainKeyStatus:
        newest = of_scope[-1]
        older = tuple(each.version for each in of_scope[:-1])
        remaining = self._rewrapping.remaining(newest.scope, newest.version) if older else 0
        after = newest.created_at + RETENTION if older and newest.created_at is not None else None
        return DomainKeyStatus(newest.scope, newest.version, newest.created_at, older, remaining, after)

    def _add_versions(self, scopes: Sequence[str]) -> None:
        sealed, seal = while_resealed(self._store, lambda found: (found, self._unsealing.seal(self._folder, found)))
        # The time for which older versions are kept begins now, also if the clock was set back.
        now = self._latest(self._clock.now())
        newest = {each.scope: each.version for each in sealed}
        versions = {scope: newest[scope] + 1 for scope in scopes}
        announced = AnnouncedObjects(self._store, now)

        def act(transaction: Transaction) -> None:
            if transaction.domain_keys() != sealed:
                raise DataFolderError("the domain keys changed meanwhile; run this again")
            announced.confirm(transaction)
            for each in new:
                transaction.add_domain_key(each)

        try:
            new = create_domain_keys(versions, seal, self._protection, self._entropy, now, announced.announce)
            self._store.write(act, AccountScope(""))
        except (UnsealError, DataFolderError):
            # Nothing was committed, and the token has answered: it makes nothing later.
            self._destroy_now(announced.objects)
            raise
        self._domain_keys.reread()

    def opens(self, scope: str) -> bool:
        """Tell whether the domain keys of a scope are opened here."""
        return self._domain_keys.opens(scope)

    def destroy_object(self, erased: ErasedDomainKey) -> None:
        """Destroy what a domain key that is gone, or was never stored, had in the token.

        Raises SettingsError, as ``Token.run``, and DataFolderError if a domain key that is opened here has that object.
        """
        self._domain_keys.reread()
        if any(object_id_of(each).hex() == erased.object_id for each in self._domain_keys.in_token):
            raise DataFolderError(f"the object {erased.object_id} belongs to a domain key that is in use")
        self._protection.token.destroy(erased)

    def _destroy_now(self, erased: Sequence[ErasedDomainKey]) -> None:
        """Destroy objects in the token that no domain key has. What cannot be done now is left to the keeper."""
        done: list[ErasedDomainKey] = []
        for each in erased:
            try:
                self._protection.token.destroy(each)
            except (TokenUnavailableError, TokenTimeoutError, TokenFaultError, SettingsError) as error:
                logger.error(  # noqa: TRY400 - one line is enough
                    "the object %s (%s), which no domain key has, is still in the token, and is destroyed later: %s",
                    each.object_id,
                    label_of(each.scope, each.version),
                    str(error) if isinstance(error, SettingsError) else error.explanation,
                )
            else:
                done.append(each)

        def act(transaction: Transaction) -> None:
            for each in done:
                transaction.remove_destruction(each)

        if done:
            self._store.write(act)

    def _remove(
        self, transaction: Transaction, found: Sequence[DomainKeyStatus], objects: Sequence[ErasedDomainKey]
    ) -> None:
        for status in found:
            # First: it waits for every write that uses the old keys, and keeps others from beginning.
            for version in status.older:
                transaction.remove_domain_key(SealedDomainKey(status.scope, version, b""))
            remaining = self._rewrapping.remaining_in(transaction, status.scope, status.version)
            if remaining:
                raise _still_needed(status.scope, remaining)
        for erased in objects:
            # It may have been noted as shared, until the operator said that it is not.
            transaction.remove_destruction(erased)
            transaction.add_destruction(erased)


def _still_needed(scope: str, remaining: int) -> DataFolderError:
    return DataFolderError(
        f"an older domain key of `{scope}` is still needed for {remaining} stored keys, secrets or codes; run "
        "`strongroom domain-keys rotate`, which goes on with the rotation and names what cannot be wrapped anew"
    )


def _is_older(status: DomainKeyStatus, moment: Moment, days: int) -> bool:
    """Tell whether a domain key is older than some days; one of unknown age is."""
    return status.created_at is None or status.created_at + days * DAY <= moment.earliest
