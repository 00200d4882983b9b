"""What an operation is given: the caller, the time, the Region, and the back ends."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NoReturn

import msgspec

from strongroom.crypto.clusters import Clusters
from strongroom.crypto.data_key_pairs import DataKeyPairs
from strongroom.crypto.documents.attestation import Attestations, Attested
from strongroom.crypto.documents.web_identity import WebIdentities
from strongroom.crypto.external_keys import ExternalKeyManagers, KeyUser
from strongroom.crypto.key_backends import KeyBackends
from strongroom.crypto.random_source import RandomSource
from strongroom.crypto.service_secrets import ServiceSecrets
from strongroom.entropy import Entropy
from strongroom.errors import (
    AccessDeniedException,
    DryRunOperationException,
    KMSInternalException,
    QuarantinedRecordException,
)
from strongroom.events.key_events import KeyEvents
from strongroom.iam import Principal, hidden_denial_message
from strongroom.keys.arns import AliasLocator, KeyIdForms, KeyLocator, not_found, parse_key_id
from strongroom.keys.custom_key_stores import CustomKeyStoreType, with_usable_keys
from strongroom.keys.states import StateRule
from strongroom.operations.planned_events import PlannedEvent
from strongroom.operations.shapes import Request
from strongroom.snapshot.active_key import ActiveKey
from strongroom.snapshot.miss import MustWait
from strongroom.snapshot.principals import Credential
from strongroom.snapshot.snapshot import Snapshot
from strongroom.store.protocol import Reader, Store
from strongroom.usage.key_usage import KeyUses


def _no_record(_events: tuple[PlannedEvent, ...], _now: float) -> None:
    """Refuse to record an event, and so the change that it is of: this is no call of a client."""
    raise KMSInternalException


class Backends(msgspec.Struct, frozen=True):
    """The parts of the service that all calls share.

    ``latest_time`` returns the latest that it can be while the wall clock shows a time; waiting periods begin then.
    """

    store: Store
    key_backends: KeyBackends
    key_managers: ExternalKeyManagers
    clusters: Clusters
    secrets: ServiceSecrets
    data_key_pairs: DataKeyPairs
    random: RandomSource
    snapshot: Snapshot
    entropy: Entropy
    web_identities: WebIdentities
    attestations: Attestations
    key_uses: KeyUses
    managed_rotation_days: int
    customer_keys: int
    regions: tuple[str, ...]
    latest_time: Callable[[float], float]
    events: KeyEvents


class Origin(msgspec.Struct, frozen=True):
    """Where a request came from, for audit and for policy conditions.

    ``via_service`` is the name of the trusted service that calls on behalf of the caller. ``source_arn`` and
    ``source_account`` are the resource for which a service calls on its own behalf, as stated by that service.
    """

    request_id: str
    source_ip: str
    user_agent: str
    secure: bool
    via_service: str | None = None
    source_arn: str | None = None
    source_account: str | None = None


class Context(msgspec.Struct):
    """One call. ``now`` in epoch seconds; ``rule`` is the row of the state matrix that the operation obeys.

    ``cross_account`` tells whether the operation works on other accounts' keys. ``attested`` is the verified
    attestation of the recipient of the answer. ``may_wait`` tells whether the call runs where it can wait for a disk.
    ``record_planned`` records what the service does to keys by itself in the course of the call, at a time. ``request``
    is what the caller asks for. ``authorized`` are the resources that the call was authorized for, if it
    runs there; ``role_id`` is the unique id of the role that it would assume.
    """

    backends: Backends
    credential: Credential
    region: str
    now: float
    action: str
    rule: StateRule | None
    cross_account: bool
    origin: Origin
    may_wait: bool = True
    request: Request | None = None
    attested: Attested | None = None
    record_planned: Callable[[tuple[PlannedEvent, ...], float], None] = _no_record
    authorized: tuple[str, ...] = ()
    role_id: str | None = None

    @property
    def caller(self) -> Principal:
        """The principal that calls."""
        return self.credential.principal

    def record_events(self, events: tuple[PlannedEvent, ...]) -> None:
        """Record what the service is about to do to keys by itself; raises KMSInternalException if that fails."""
        self.record_planned(events, self.now)

    def find(self, key_id: str, forms: KeyIdForms = KeyIdForms.ANY, action: str = "") -> ActiveKey:
        """Return the key that a ``KeyId`` parameter names, for ``action``: by default, that of the operation's name.

        Raises NotFoundException, InvalidArnException, or AccessDeniedException for a key of another account that does
        not exist: the caller must not learn whether it does.
        """
        locator = parse_key_id(key_id, self.caller.account, self.region, forms)
        try:
            active = self.backends.snapshot.find(locator, may_wait=self.may_wait)
        except QuarantinedRecordException:
            if locator.account != self.caller.account:
                raise self.missing(locator, action) from None
            raise
        if active is None:
            raise self.missing(locator, action)
        return active

    def key_user(self) -> KeyUser:
        """Return on whose behalf the call is, as external key managers are told."""
        return KeyUser(
            self.action.removeprefix("kms:"), self.origin.request_id, self.caller.arn, self.origin.via_service
        )

    def read(self) -> AbstractContextManager[Reader]:
        """Open a consistent read of the store; raises MustWait where the call may not wait for the database."""
        if not self.may_wait:
            raise MustWait
        return self.backends.store.read()

    def missing(self, locator: KeyLocator | AliasLocator, action: str = "") -> Exception:
        """Return the refusal of an action on a key or alias that does not exist; ``action`` is as in ``find``."""
        if locator.account == self.caller.account:
            return not_found(locator)
        return AccessDeniedException(hidden_denial_message(self.caller, action or self.action))


def require_not_dry_run(context: Context, dry_run: bool | None, *keys: ActiveKey) -> None:  # noqa: FBT001 - a member
    """End a call that was about to use ``keys``, if its request has DryRun set; raises as ``end_dry_run``."""
    if dry_run:
        end_dry_run(context, *keys)


def end_dry_run(context: Context, *keys: ActiveKey) -> NoReturn:
    """End a dry run that has found nothing wrong so far: raises DryRunOperationException.

    Keys in custom key stores are not used in a dry run: neither a cluster nor a proxy is called. Raises
    KMSInvalidStateException if the store of one is not connected.
    """
    for each in keys:
        key, store_id = each.key, each.key.custom_key_store_id
        if store_id is not None:
            kind = CustomKeyStoreType.EXTERNAL_KEY_STORE if each.is_external else CustomKeyStoreType.AWS_CLOUDHSM
            with_usable_keys(context.backends.snapshot.key_stores.find(key.account, key.region, store_id), kind)
    raise DryRunOperationException
