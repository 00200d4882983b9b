"""Calls that are performed in full and change nothing: the store rolls back each transaction at its end."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from msgspec.structs import replace
from typing_extensions import override

from local_deployment import LocalDeployment, Refused, entropy
from store_simulators import WrappedStore
from strongroom.service.audit_trail import AuditTrail
from strongroom.service.credentials import Credentials
from strongroom.service.pipeline import Pipeline
from strongroom.service.request_quotas import RequestQuotas
from strongroom.service.unauthenticated import RecordRateLimit
from strongroom.store.protocol import Transaction
from strongroom.store.scopes import Scope
from strongroom.usage.access_key_usage import AccessKeyUsage
from valid_requests import RequestCase

T = TypeVar("T")


class _RollBack(Exception):
    """Rolls back a transaction that succeeded."""


class RollbackStore(WrappedStore):
    """A store that rolls back every transaction at its end; only the transaction itself sees its writes."""

    @override
    def write(self, act: Callable[[Transaction], T], *scopes: Scope) -> T:
        results: list[T] = []

        def act_and_roll_back(transaction: Transaction) -> None:
            results.append(act(transaction))
            raise _RollBack

        with suppress(_RollBack):
            self.store.write(act_and_roll_back, *scopes)
        return results[-1]


@contextmanager
def rolling_back(local: LocalDeployment) -> Iterator[None]:
    """Roll back every write of the deployment's calls until the context ends."""
    deployment = local.deployment
    service = deployment.service
    store = RollbackStore(deployment.backends.store)
    backends = replace(deployment.backends, store=store)
    quotas = RequestQuotas((), ())
    trail, credentials = AuditTrail(deployment.log, entropy), Credentials(backends.snapshot)
    pipeline = Pipeline(backends, credentials, quotas, trail, AccessKeyUsage(store), RecordRateLimit())
    deployment.service = replace(service, pipeline=pipeline)
    try:
        yield
    finally:
        deployment.service = service


def outcome(local: LocalDeployment, asked: RequestCase) -> str:
    """Make a call; return ``ok``, or the code of the error, and its message if it has one.

    Raises Refused for any HTTP status but 200 and 400.
    """
    try:
        local.call(asked.operation, **asked.request)
    except Refused as refusal:
        if refusal.status != 400:
            raise
        return f"{refusal.code}: {refusal.message}".removesuffix(": ")
    return "ok"
