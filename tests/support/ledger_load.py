"""Clients that change everything a key has, and note in a ledger what was acknowledged."""

import base64
import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fast_client import CallRefused, FastClient, KmsClient, NoAnswer
from key_import import entropy, wrapped
from ledger import Kind, Ledger, Subject
from local_server import RunningServer

ROOT = "arn:aws:iam::000000000000:root"
_WAITING = 7
_EXTERNAL_EVERY = 5
"""One key in so many has imported material."""


class LedgerLoad:
    """One client's load: ``run`` goes on until the server no longer answers, or it is told to end.

    ``wrapping`` is the algorithm that wraps imported material, since not every hardware token has all.
    """

    def __init__(
        self,
        client: KmsClient,
        ledger: Ledger,
        numbers: "itertools.count[int]",
        wrapping: str = "RSAES_OAEP_SHA_256",
    ) -> None:
        self._client = client
        self._ledger = ledger
        self._numbers = numbers
        self._wrapping = wrapping
        self.refusals: list[CallRefused] = []
        """Refusals that no client should see. A fault of the server may cause some of 5xx."""

    def run(self, ended: threading.Event) -> None:
        """Make calls until ``ended`` is set, or there is no answer."""
        try:
            while not ended.is_set():
                number = next(self._numbers)
                try:
                    self.live(number)
                except CallRefused as error:
                    self.refusals.append(error)
        except NoAnswer:
            return
        finally:
            self.close()

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def live(self, number: int) -> None:
        """Take one key through a life; raises CallRefused and NoAnswer."""
        external = number % _EXTERNAL_EVERY == 0
        key_id = self._create(number, external=external)
        alias = f"alias/{number}"
        self._change(Kind.ALIAS, alias, key_id, "CreateAlias", AliasName=alias, TargetKeyId=key_id)
        if external:
            self._import(key_id)
        self._use(key_id, number)
        self._govern(key_id, number)
        if not external:
            for turn in (1, 2):
                self._change(Kind.ROTATIONS, key_id, turn, "RotateKeyOnDemand", KeyId=key_id)
                self._use(key_id, number + turn)
        self._grant(key_id, revoked=number % 2 == 0)
        self._end(key_id, number, alias)
        if external and number % 4:
            self._change(Kind.STATE, key_id, "PendingImport", "DeleteImportedKeyMaterial", KeyId=key_id)

    def _create(self, number: int, *, external: bool) -> str:
        sent = self._ledger.moment()
        origin = {"Origin": "EXTERNAL"} if external else {}
        tags = [{"TagKey": "round", "TagValue": str(number)}]
        key_id: str = self._call("CreateKey", Description=f"life {number}", Tags=tags, **origin)["KeyMetadata"]["KeyId"]
        state = "PendingImport" if external else "Enabled"
        self._ledger.began(Subject(Kind.STATE, key_id), state, sent)
        self._ledger.began(Subject(Kind.TAG, key_id), str(number), sent)
        return key_id

    def _import(self, key_id: str) -> None:
        ask = {"KeyId": key_id, "WrappingAlgorithm": self._wrapping, "WrappingKeySpec": "RSA_2048"}
        parts = wrapped(self._call("GetParametersForImport", **ask), entropy(32), self._wrapping)
        model = {"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}
        self._change(Kind.STATE, key_id, "Enabled", "ImportKeyMaterial", KeyId=key_id, **parts, **model)

    def _use(self, key_id: str, number: int) -> None:
        for turn in range(2):
            plaintext = base64.b64encode(b"%d %d" % (number, turn)).decode()
            blob = self._call("Encrypt", KeyId=key_id, Plaintext=plaintext)["CiphertextBlob"]
            self._ledger.encrypted(key_id, blob, plaintext)
        made = self._call("GenerateDataKey", KeyId=key_id, KeySpec="AES_256")
        self._ledger.encrypted(key_id, made["CiphertextBlob"], made["Plaintext"])

    def _govern(self, key_id: str, number: int) -> None:
        policy = policy_of(number)
        value = canonical(policy)
        self._change(Kind.POLICY, key_id, value, "PutKeyPolicy", KeyId=key_id, PolicyName="default", Policy=policy)
        tags = [{"TagKey": "round", "TagValue": f"{number} again"}]
        self._change(Kind.TAG, key_id, f"{number} again", "TagResource", KeyId=key_id, Tags=tags)

    def _grant(self, key_id: str, *, revoked: bool) -> None:
        sent = self._ledger.moment()
        made = self._call("CreateGrant", KeyId=key_id, GranteePrincipal=ROOT, Operations=["Decrypt"])
        name = f"{key_id} {made['GrantId']}"
        self._ledger.began(Subject(Kind.GRANT, name), value=True, sent=sent)
        if revoked:
            self._change(Kind.GRANT, name, False, "RevokeGrant", KeyId=key_id, GrantId=made["GrantId"])  # noqa: FBT003

    def _end(self, key_id: str, number: int, alias: str) -> None:
        """Leave the key enabled, disabled, or waiting for its deletion, after some changes."""
        self._change(Kind.STATE, key_id, "Disabled", "DisableKey", KeyId=key_id)
        if number % 4:
            self._change(Kind.STATE, key_id, "Enabled", "EnableKey", KeyId=key_id)
        if number % 3 == 0 and number % _EXTERNAL_EVERY:
            ask = {"KeyId": key_id, "PendingWindowInDays": _WAITING}
            self._change(Kind.STATE, key_id, "PendingDeletion", "ScheduleKeyDeletion", **ask)
        if number % 6 == 0 and number % _EXTERNAL_EVERY:
            self._change(Kind.STATE, key_id, "Disabled", "CancelKeyDeletion", KeyId=key_id)
        if number % 2:
            self._change(Kind.ALIAS, alias, None, "DeleteAlias", AliasName=alias)

    def _change(self, kind: Kind, name: str, value: object, operation: str, /, **request: Any) -> None:
        with self._ledger.attempt(Subject(kind, name), value):
            self._call(operation, **request)

    def _call(self, operation: str, /, **request: Any) -> dict[str, Any]:
        answer = self._client(operation, **request)
        self._ledger.answered(self._client.request_id)
        return answer


def policy_of(number: int) -> str:
    """Return a key policy that lets the account do all, with a number in it."""
    statement = {"Sid": f"n{number}", "Effect": "Allow", "Principal": {"AWS": ROOT}, "Action": "kms:*", "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def canonical(policy: str | None) -> str:
    """Return a policy in a form that does not depend on its layout."""
    return json.dumps(json.loads(policy or "null"), sort_keys=True)


@contextmanager
def load(
    server: RunningServer, ledger: Ledger, numbers: "itertools.count[int]", clients: int = 3
) -> Iterator[list[LedgerLoad]]:
    """Let some clients work while the block runs; then wait for them to end."""
    ended = threading.Event()
    loads = [LedgerLoad(FastClient(server), ledger, numbers) for _ in range(clients)]
    threads = [threading.Thread(target=each.run, args=(ended,)) for each in loads]
    for thread in threads:
        thread.start()
    try:
        yield loads
    finally:
        ended.set()
        for thread in threads:
            thread.join()
