"""An XKS proxy without a network, beside a local deployment and under its clock: calls are signed and performed."""

import json
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from typing import Any, cast

from botocore.credentials import Credentials

from local_deployment import LocalDeployment, entropy
from strongroom.assembly.open_folder import open_existing
from strongroom.assembly.xks_proxies import xks_proxies_of
from strongroom.assembly.xks_serving import XksServing, listener_settings
from strongroom.http.message import HttpRequest
from strongroom.server.tls import Tls
from strongroom.server.xks_replies import reply_of
from strongroom.server.xks_work import Job, XksConnection
from strongroom.service.xks_facts import XksFacts
from strongroom.xks_proxy.errors import XksError
from strongroom.xks_proxy.paths import parse_path
from xks_calls import PREFIX, XksReply, policy, signed_request

ACCOUNT = "000000000000"
HOST = "xks.example.com"


class _NoConnection:
    client_name: str | None = None


class LocalXksProxy:
    """Opens the data folder a second time, as the process beside the server does."""

    def __init__(self, local: LocalDeployment) -> None:
        self.local = local
        with ExitStack() as undo:
            opened = undo.enter_context(closing(open_existing(local.settings, local.clock, entropy)))
            settings = listener_settings(local.settings)
            self.serving = undo.enter_context(closing(XksServing(opened, settings, local.clock, Tls(settings))))
            self._undo = undo.pop_all()
        self.backends = opened.backends
        self.admin = xks_proxies_of(opened, local.clock)
        self.connection = _NoConnection()

    def close(self) -> None:
        """End the audit chain and close the folder."""
        self._undo.close()

    def make(self, prefix: str = PREFIX) -> Credentials:
        """Make a proxy with one credential, and return that."""
        self.admin.add(prefix, ACCOUNT, "us-east-1", "us-east-1")
        self.admin.add_credential(prefix)
        return self.credentials(prefix)

    def credentials(self, prefix: str = PREFIX, access_key_id: str | None = None) -> Credentials:
        """Return a credential of a proxy, by default the newest."""
        found = json.loads(self.admin.export(prefix, access_key_id))["XksProxyAuthenticationCredential"]
        return Credentials(found["AccessKeyId"], found["RawSecretAccessKey"])

    def new_key(self, **request: Any) -> str:
        """Make a KMS key that the proxy may use; return its id."""
        made = self.local.call("CreateKey", **{"Policy": policy(), **request})
        return str(made["KeyMetadata"]["KeyId"])

    def call(
        self,
        path: str,
        body: dict[str, Any] | bytes,
        credentials: Credentials,
        *,
        prefix: str = PREFIX,
        region: str = "us-east-1",
        late: float = 0.0,
    ) -> XksReply:
        """Perform a call to a path below that of the proxy; ``late`` is how many seconds ago it was signed."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        target = f"/{prefix}/kms/xks/v1/{path}"
        at = datetime.fromtimestamp(self.local.clock.now() - late, UTC)
        request = signed_request(f"https://{HOST}{target}", raw, credentials, at, region=region)
        headers = {name.lower(): value for name, value in request.headers.items()} | {"host": HOST}
        return self.perform(HttpRequest("POST", target, "", headers, raw, "192.0.2.1", secure=True))

    def perform(self, request: HttpRequest) -> XksReply:
        """Perform a request that was signed, record it, and return the reply."""
        route = parse_path(request.path)
        assert route is not None
        server = self.serving._server
        facts = XksFacts(
            route=route,
            now=self.local.clock.now(),
            request_id="ours",
            source_ip=request.peer,
            user_agent="test",
            secure=request.secure,
        )
        job = Job(cast("XksConnection", self.connection), request, "ours", facts)
        outcome = server._work.perform(job)
        error = outcome if isinstance(outcome, XksError) else None
        server._trail.record(facts, error, server._trail.event_id())
        server._log.flush()
        response = reply_of(outcome, job.reply_id)
        return XksReply(response.status, json.loads(response.body))

    def records(self) -> list[dict[str, Any]]:
        """Return the audit records of the proxy."""
        return [each for each in self.local.records() if each["eventSource"] == "kms-xks-proxy.amazonaws.com"]
