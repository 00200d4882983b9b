"""Calls that are performed in full and leave nothing: the store takes every write back when its transaction ends."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TypeVar

from msgspec.structs import replace

from fitting import Asked
from local_deployment import LocalDeployment, Refused, entropy
from strongroom.service.audit_trail import AuditTrail
from strongroom.service.credentials import Credentials
from strongroom.service.pipeline import Pipeline
from strongroom.service.request_quotas import RequestQuotas
from strongroom.service.unauthenticated import RecordRateLimit
from strongroom.store.protocol import Reader, Store, Transaction
from strongroom.store.records import Changes
from strongroom.store.scopes import Scope
from strongroom.usage.access_key_usage import AccessKeyUsage

T = TypeVar("T")


class _TakenBack(Exception):
    """Ends a transaction that went well."""


class RehearsalStore:
    """A store in which every transaction sees its own writes, and nobody else ever does."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def write(self, act: Callable[[Transaction], T], *scopes: Scope) -> T:
        results: list[T] = []

        def act_and_take_back(transaction: Transaction) -> None:
            results.append(act(transaction))
            raise _TakenBack

        with suppress(_TakenBack):
            self._store.write(act_and_take_back, *scopes)
        return results[-1]

    def read(self) -> AbstractContextManager[Reader]:
        return self._store.read()

    def version(self) -> bytes:
        return self._store.version()

    def confirm(self) -> None:
        self._store.confirm()

    def changes(self, after: int) -> Changes:
        return self._store.changes(after)

    def scrub(self) -> bool:
        return self._store.scrub()

    def trim_changes(self, keep: int) -> None:
        self._store.trim_changes(keep)

    def close(self) -> None:
        self._store.close()


@contextmanager
def rehearsing(local: LocalDeployment) -> Iterator[None]:
    """Let the local's calls change nothing for a while."""
    deployment = local.deployment
    performing = deployment.service
    store = RehearsalStore(deployment.backends.store)
    backends = replace(deployment.backends, store=store)
    quotas = RequestQuotas((), ())
    trail, credentials = AuditTrail(deployment.log, entropy), Credentials(backends.snapshot)
    pipeline = Pipeline(backends, credentials, quotas, trail, AccessKeyUsage(store), RecordRateLimit())
    deployment.service = replace(performing, pipeline=pipeline)
    try:
        yield
    finally:
        deployment.service = performing


def outcome(local: LocalDeployment, asked: Asked) -> str:
    """Make a call; return ``ok``, or the refusal: its code, and its message if it has one.

    Raises Refused for anything but a 400.
    """
    try:
        local.call(asked.operation, **asked.request)
    except Refused as refusal:
        if refusal.status != 400:
            raise
        return f"{refusal.code}: {refusal.message}".removesuffix(": ")
    return "ok"
