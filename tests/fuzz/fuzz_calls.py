"""Fuzz targets: the bodies of calls, in AWS JSON and AWS Query, and ciphertexts, at a deployment without a network."""

import base64
import json
import tempfile
from functools import cache
from itertools import count
from pathlib import Path

from local_deployment import ORIGIN, LocalDeployment, performed
from strongroom.api.aws_json import AwsJson
from strongroom.api.aws_query import AwsQuery, form_field
from strongroom.clock import ManualClock
from strongroom.crypto.binding import SESSION_BINDING
from strongroom.errors import KmsError
from strongroom.iam import MalformedPolicy
from strongroom.operations.iam.table import IAM_TABLE
from strongroom.operations.kms.table import TABLE
from strongroom.operations.operation import Operation
from strongroom.operations.sts.table import STS_TABLE
from strongroom.service.call import Call

NOW = 1_790_000_000.0
KEY_ALIAS = "alias/fuzzed"
_TEMPORARY = "ASIAIOSFODNN7EXAMPLE"
_LIFE = 3000
"""After so many calls a new deployment takes the place of the old one, so that what calls have made does not add up."""
_SLOW = (b"RSA_3072", b"RSA_4096")
_TABLES = {"iam": IAM_TABLE, "sts": STS_TABLE}


class _World:
    """A deployment with a key; the seeds name it by its alias."""

    def __init__(self) -> None:
        self._calls = count()
        self._folder = tempfile.TemporaryDirectory(prefix="strongroom-fuzz-")
        self._open()

    def _open(self) -> None:
        self.local = LocalDeployment(Path(self._folder.name) / "data", ManualClock(NOW))
        key_id = self.local.call("CreateKey")["KeyMetadata"]["KeyId"]
        self.local.call("CreateAlias", AliasName=KEY_ALIAS, TargetKeyId=key_id)
        self.blob = base64.b64decode(self.local.call("Encrypt", KeyId=key_id, Plaintext="eA==")["CiphertextBlob"])

    def perform(self, operation: Operation, wire: AwsJson | AwsQuery, body: bytes) -> tuple[int, bytes]:
        """Perform a call as the account's root; return the status and the body of the reply."""
        if next(self._calls) % _LIFE == _LIFE - 1:
            self.local.deployment.close()
            self._folder.cleanup()
            self._folder = tempfile.TemporaryDirectory(prefix="strongroom-fuzz-")
            self._open()
        call = Call(operation, self.local.root(), "us-east-1", wire, body, ORIGIN, NOW)
        result = performed(self.local.deployment.service.pipeline, call)
        self.local.deployment.log.flush()
        reply = wire.reply(result, ORIGIN.request_id, operation)
        assert result.status < 500 if isinstance(result, KmsError) else reply.status == 200, reply.body
        return reply.status, reply.body


def fuzz_json(data: bytes) -> None:
    """Perform the operation of KMS that the first line names, with the rest as its body."""
    name, _, body = data.partition(b"\n")
    operation = TABLE.get(name.decode(errors="replace"))
    if operation is None or any(slow in body for slow in _SLOW):
        return
    _, answer = _world().perform(operation, AwsJson(), body)
    assert isinstance(json.loads(answer or b"{}"), dict)


def fuzz_query(data: bytes) -> None:
    """Perform the action of IAM or STS that the form names."""
    name = form_field(data, b"Action") or ""
    service = "iam" if name in IAM_TABLE else "sts"
    operation = _TABLES[service].get(name)
    if operation is None:
        return
    _, answer = _world().perform(operation, AwsQuery(service, name), data)
    assert answer.startswith(b"<")


def fuzz_ciphertext(data: bytes) -> None:
    """Decrypt the bytes: no ciphertext but the one that was made gives a plaintext."""
    world = _world()
    for blob in (data, world.blob[: len(data)] + data, _mixed(world.blob, data)):
        body = json.dumps({"CiphertextBlob": base64.b64encode(blob).decode()}).encode()
        status, _ = world.perform(TABLE["Decrypt"], AwsJson(), body)
        assert status == 400 or blob == world.blob


def fuzz_session_token(data: bytes) -> None:
    """Look up the bytes as a session token; then a token whose content they are."""
    local = _world().local
    sealed = local.deployment.backends.secrets.wrap(data, SESSION_BINDING)
    for token in (data.decode("latin-1"), base64.b64encode(sealed).decode()):
        try:
            credential = local.deployment.service.pipeline.credential(_TEMPORARY, token, may_wait=True)
        except MalformedPolicy:
            # Only of a token that we have sealed, and then its policies were parsed before.
            continue
        assert credential is None or credential.access_key_id == _TEMPORARY


def _mixed(blob: bytes, data: bytes) -> bytes:
    """Return a ciphertext with the bits of ``data`` flipped in it."""
    return bytes(a ^ b for a, b in zip(blob, data.ljust(len(blob), b"\0"), strict=False))


@cache
def _world() -> _World:
    return _World()
