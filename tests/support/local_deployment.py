"""A deployment without a network: it hands calls to the service, as the HTTP front does."""

import json
import os
from functools import cached_property
from pathlib import Path
from typing import Any

from audits import audit_records
from clusters import CLUSTERS
from empty_database import put_empty_database
from strongroom.api.aws_json import AwsJson
from strongroom.api.reply import Reply
from strongroom.assembly.data_folder import DataFolder
from strongroom.assembly.deployment import Deployment
from strongroom.clock import ManualClock
from strongroom.entropy import Entropy
from strongroom.errors import KmsError
from strongroom.operations.context import Origin
from strongroom.operations.kms.table import TABLE
from strongroom.operations.lanes import Lane
from strongroom.operations.operation import Operation
from strongroom.operations.shapes import Response
from strongroom.service import stages
from strongroom.service.call import Call
from strongroom.service.pipeline import Pipeline
from strongroom.service.stages import Completed, Prepared
from strongroom.settings import Settings
from strongroom.snapshot.principals import Credential

ORIGIN = Origin(request_id="request", source_ip="127.0.0.1", user_agent="test", secure=False)
entropy = os.urandom  # noqa: TID251 - real randomness


def performed(pipeline: Pipeline, call: Call) -> Response | KmsError:
    """Take a call through the pipeline, from lane to lane, as the threads of a server do."""
    outcome: object = pipeline.take_through(call, Lane.WRITING)
    while isinstance(outcome, Prepared):
        outcome = pipeline.go_on(outcome)
    if isinstance(outcome, Completed | stages.Refused):
        outcome = pipeline.record(outcome)
    assert isinstance(outcome, Response | KmsError)
    return outcome


class Refused(Exception):
    """A call was refused. ``code`` and ``message`` are those of the error response."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message


class LocalDeployment:
    """Opens a data folder under a manual clock, and calls its service."""

    def __init__(
        self,
        folder: Path,
        clock: ManualClock,
        regions: tuple[str, ...] = ("us-east-1", "eu-west-1"),
        *,
        source: Entropy = entropy,
        **more: Any,
    ) -> None:
        """Open the folder; ``source`` is where randomness comes from, ``more`` are settings other than the defaults."""
        self.folder = folder
        self.clock = clock
        self.settings = Settings(data=str(folder), regions=regions, **{"cloudhsm_clusters": CLUSTERS, **more})
        if not DataFolder(folder).database.exists():
            os.close(DataFolder(folder).lock())
            put_empty_database(DataFolder(folder).database)
        self.deployment = Deployment(self.settings, clock, source)
        self.operations: dict[str, Operation] = dict(TABLE)

    def call(self, operation: str, *, region: str = "us-east-1", **request: Any) -> dict[str, Any]:
        """Call KMS as the account root, and return the response; raises Refused."""
        reply = self.perform(operation, json.dumps(request).encode(), region)
        answer: dict[str, Any] = json.loads(reply.body or b"{}")
        if reply.status != 200:
            raise Refused(reply.status, answer["__type"], answer.get("message", ""))
        return answer

    def perform(self, operation: str, body: bytes, region: str = "us-east-1") -> Reply:
        """Hand a request body to the service and flush the audit log, as the front does; return the reply."""
        wire = AwsJson()
        call = Call(self.operations[operation], self.root(), region, wire, body, ORIGIN, self.clock.now())
        result = performed(self.deployment.service.pipeline, call)
        self.deployment.log.flush()
        return wire.reply(result, ORIGIN.request_id, call.operation)

    @cached_property
    def _root_key_id(self) -> str:
        return (self.folder / "credentials").read_text().splitlines()[1].rpartition(" = ")[2]

    def root(self) -> Credential:
        """Return the credential of the root access key."""
        credential = self.deployment.service.pipeline.credential(self._root_key_id, may_wait=True)
        assert credential is not None
        return credential

    def records(self) -> list[dict[str, Any]]:
        """Return the records of the audit log."""
        return audit_records(self.folder)

    def reopen(self) -> None:
        """Close the deployment and open it again, as a restart does."""
        self.deployment.close()
        self.deployment = Deployment(self.settings, self.clock, entropy)
