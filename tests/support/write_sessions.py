"""Calls to a deployment whose operations write through a wrapper around the real store."""

import json
from collections.abc import Callable
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from sqlalchemy import select

from local_deployment import ORIGIN, LocalDeployment, performed
from store_simulators import WrappedStore
from strongroom.api.aws_json import AwsJson
from strongroom.assembly.registrar import Registrar
from strongroom.clock import ManualClock
from strongroom.operations.iam.table import IAM_TABLE
from strongroom.operations.kms.table import TABLE
from strongroom.service.audit_trail import AuditTrail
from strongroom.service.call import Call
from strongroom.service.credentials import Credentials
from strongroom.service.pipeline import Pipeline
from strongroom.service.request_quotas import RequestQuotas
from strongroom.service.unauthenticated import RecordRateLimit
from strongroom.snapshot.principals import Credential
from strongroom.store.protocol import Store
from strongroom.store.sql.schema import metadata
from strongroom.usage.access_key_usage import AccessKeyUsage

Wrap = Callable[[Store], WrappedStore]
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": "000000000000"}, "Action": "sts:AssumeRole"}],
    }
)
"""A trust policy that lets the whole account assume a role."""


class Session:
    """Calls to a deployment over a wrapped store, and the outcome of each."""

    def __init__(self, folder: Path, wrap: Wrap, **settings: Any) -> None:
        numbers = count()

        def entropy(length: int) -> bytes:
            """Return the same bytes in every run, so that a draw too many shows in all that follow."""
            blocks = (sha256(f"{next(numbers)}".encode()).digest() for _ in range(length // 32 + 1))
            return b"".join(blocks)[:length]

        self.clock = ManualClock(1_790_000_000.0)
        self.local = LocalDeployment(folder, self.clock, source=entropy, **settings)
        deployment = self.local.deployment
        self.plain = deployment.backends.store
        self.store = wrap(self.plain)
        backends = replace(deployment.backends, store=self.store)
        quotas, trail = RequestQuotas((), ()), AuditTrail(deployment.log, entropy)
        credentials, usage = Credentials(backends.snapshot), AccessKeyUsage(self.store)
        self._pipeline = Pipeline(backends, credentials, quotas, trail, usage, RecordRateLimit())
        self.registrar = Registrar(deployment.folder, self.store, backends.secrets, self.clock, entropy)
        self.outcomes: list[object] = []

    def call(self, operation: str, **request: Any) -> dict[str, Any]:
        """Make a call as the root of the account; a refusal is an outcome, too."""
        return self._perform(self._pipeline, operation, request)

    def call_by(self, access_key_id: str, operation: str, **request: Any) -> dict[str, Any]:
        """Make a call as the owner of an access key."""
        credential = self._pipeline.credential(access_key_id, may_wait=True)
        assert credential is not None
        return self._perform(self._pipeline, operation, request, credential)

    def call_elsewhere(self, operation: str, **request: Any) -> dict[str, Any]:
        """Make a call that writes to the real store, as another node would."""
        return self._perform(self.local.deployment.service.pipeline, operation, request)

    def _perform(
        self, pipeline: Pipeline, operation: str, request: dict[str, Any], caller: Credential | None = None
    ) -> dict[str, Any]:
        row = IAM_TABLE[operation] if operation in IAM_TABLE else TABLE[operation]
        wire = AwsJson()
        caller = caller or self.local.root()
        call = Call(row, caller, "us-east-1", wire, json.dumps(request).encode(), ORIGIN, self.clock.now())
        reply = wire.reply(performed(pipeline, call), ORIGIN.request_id, row)
        self.local.deployment.log.flush()
        assert reply.status < 500, reply.body
        answer: dict[str, Any] = json.loads(reply.body or b"{}")
        self.outcomes.append((operation, reply.status, answer))
        return answer

    def state(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return all rows of all tables."""
        with self.plain._engine.connect() as connection:  # type: ignore[attr-defined]
            return {
                table.name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key))]
                for table in metadata.sorted_tables
            }
