"""A client without a network: it signs requests and hands them to the gateway, under a manual clock."""

import configparser
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import msgspec
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from clients import sign
from local_deployment import LocalDeployment, entropy, performed
from strongroom.api.gateway import Admitted, Gateway, ReadinessCheck
from strongroom.api.reply import Reply
from strongroom.api.sigv4 import Verifier
from strongroom.http.message import HttpRequest

REGIONS = frozenset({"us-east-1", "eu-west-1"})
SKEW = 300.0


class Answer(msgspec.Struct, frozen=True):
    """The response to one request."""

    status: int
    text: str

    @property
    def error(self) -> str:
        """The error type of a refused request."""
        found = re.search(r'"__type":"(\w+)"|<Code>(\w+)</Code>', self.text)
        assert found is not None, self.text
        return found[1] or found[2]

    @property
    def json(self) -> dict[str, Any]:
        """The body of a successful AWS JSON response."""
        assert self.status == 200, self.text
        answer: dict[str, Any] = json.loads(self.text or "{}")
        return answer

    def field(self, name: str) -> str:
        """Return the text of an XML element of a successful AWS Query response."""
        assert self.status == 200, self.text
        found = re.search(f"<{name}>([^<]*)</{name}>", self.text)
        assert found is not None, self.text
        return found[1]


class DirectClient:
    """Sends requests to the gateway of a LocalDeployment, as the HTTP front does."""

    def __init__(self, local: LocalDeployment) -> None:
        self.local = local
        service = local.deployment.service
        verifier = Verifier(service.pipeline.credential, REGIONS, SKEW)
        self.gateway = Gateway(service.unauthenticated, verifier, local.clock, entropy, None, "us-east-1")

    def profile(self, name: str = "default") -> Credentials:
        """Return the access key of a profile in the data folder."""
        profiles = configparser.RawConfigParser()
        profiles.read(self.local.folder / "credentials")
        return Credentials(profiles[name]["aws_access_key_id"], profiles[name]["aws_secret_access_key"])

    def kms(
        self, credentials: Credentials, operation: str, *, more: Mapping[str, str] | None = None, **request: Any
    ) -> Answer:
        """Call KMS; ``more`` are further signed headers."""
        return self.receive(self.kms_request(credentials, operation, more or {}, request))

    def kms_request(
        self, credentials: Credentials, operation: str, more: Mapping[str, str], request: Mapping[str, Any]
    ) -> HttpRequest:
        """Return a signed request to KMS."""
        headers = {"X-Amz-Target": f"TrentService.{operation}", "Content-Type": "application/x-amz-json-1.1"}
        return self._signed(credentials, "kms", headers | dict(more), json.dumps(request).encode())

    def query(
        self,
        credentials: Credentials,
        service: str,
        action: str,
        *,
        more: Mapping[str, str] | None = None,
        **fields: str,
    ) -> Answer:
        """Call IAM or STS; ``more`` are further signed headers."""
        return self.receive(self.query_request(credentials, service, action, more or {}, fields))

    def query_request(
        self,
        credentials: Credentials,
        service: str,
        action: str,
        more: Mapping[str, str],
        fields: Mapping[str, str],
        region: str = "us-east-1",
    ) -> HttpRequest:
        """Return a signed request to IAM or STS."""
        version = {"iam": "2010-05-08", "sts": "2011-06-15"}[service]
        body = urlencode({"Action": action, "Version": version, **fields}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return self._signed(credentials, service, headers | dict(more), body, region)

    def _signed(
        self,
        credentials: Credentials,
        service: str,
        headers: Mapping[str, str],
        body: bytes,
        region: str = "us-east-1",
    ) -> HttpRequest:
        request = AWSRequest("POST", "http://strongroom/", dict(headers), body)
        sign(request, credentials, service, region, datetime.fromtimestamp(self.local.clock.now(), UTC))
        lower = {name.lower(): value for name, value in request.headers.items()} | {"host": "strongroom"}
        return HttpRequest("POST", "/", "", lower, body, "127.0.0.1", secure=False)

    def receive(self, request: HttpRequest) -> Answer:
        """Hand a request to the gateway without changing it."""
        return self.answer(self.gateway.admit(request))

    def answer(self, admitted: Admitted | ReadinessCheck | Reply) -> Answer:
        """Perform an admitted call, or return the reply of one that was refused."""
        service = self.local.deployment.service
        if isinstance(admitted, Admitted):
            admitted = admitted.reply(performed(service.pipeline, admitted.call))
        elif isinstance(admitted, ReadinessCheck):
            admitted = admitted.reply(service.readiness.check())
        self.local.deployment.log.flush()
        return _answer(admitted)


def _answer(reply: Reply) -> Answer:
    return Answer(reply.status, reply.body.decode())
