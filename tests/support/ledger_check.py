"""Compares a server with a ledger: everything acknowledged must be there, in that state or a later one."""

import re
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any

from botocore.credentials import Credentials

from audits import audit_bytes
from fast_client import CallRefused, FastClient
from ledger import Kind, Ledger, Subject
from ledger_load import canonical
from local_server import RunningServer

_ABSENT = "absent"
_REQUEST_ID = re.compile(rb'"requestID":"([0-9a-f-]{36})"')
_REFUSALS = {
    "Disabled": {"DisabledException"},
    "PendingDeletion": {"KMSInvalidStateException"},
    "PendingImport": {"KMSInvalidStateException"},
    _ABSENT: {"NotFoundException", "InvalidCiphertextException", "AccessDeniedException"},
}
"""The state of a key that does not decrypt → the errors that say so."""


class Check:
    """One comparison.

    ``at`` is the moment of the fault, None for now; with ``until``, the fault was at some moment between the two. By
    default it has the server's root access key.
    """

    def __init__(
        self,
        server: RunningServer,
        ledger: Ledger,
        at: int | None = None,
        credentials: Credentials | None = None,
        *,
        until: int | None = None,
    ) -> None:
        self._client = FastClient(server, credentials)
        self._ledger = ledger
        self._at = at
        self._until = until
        self._states: dict[str, str] = {}
        self.differences: list[str] = []
        """What was acknowledged and is not so, one line each."""

    def run(self) -> list[str]:
        """Compare everything; return the differences."""
        try:
            self._keys()
            self._aliases()
            self._grants()
            self._blobs()
        finally:
            self._client.close()
        return self.differences

    def pin(self) -> list[str]:
        """Compare everything, and note the states found as acknowledged: the check itself has read them."""
        self.run()
        for key_id, state in self._states.items():
            self._ledger.observed(Subject(Kind.STATE, key_id), state)
        return self.differences

    def _keys(self) -> None:
        known = self._known(Kind.STATE, Kind.POLICY, Kind.TAG, Kind.ROTATIONS)
        for key_id in known[Kind.STATE]:
            found = self._state(key_id)
            self._states[key_id] = found
            self._compare(Kind.STATE, key_id, known, found)
            if found == _ABSENT:
                continue
            if key_id in known[Kind.POLICY]:
                policy = self._ask("GetKeyPolicy", KeyId=key_id, PolicyName="default").get("Policy")
                self._compare(Kind.POLICY, key_id, known, canonical(policy))
            tags = self._ask("ListResourceTags", KeyId=key_id).get("Tags", [])
            self._compare(Kind.TAG, key_id, known, next((tag["TagValue"] for tag in tags), None))
            if key_id in known[Kind.ROTATIONS]:
                rotations = self._ask("ListKeyRotations", KeyId=key_id).get("Rotations", [])
                self._compare(Kind.ROTATIONS, key_id, known, len(rotations))

    def _state(self, key_id: str) -> str:
        return str(self._ask("DescribeKey", KeyId=key_id).get("KeyMetadata", {}).get("KeyState", _ABSENT))

    def _aliases(self) -> None:
        known = self._known(Kind.ALIAS)
        if not known[Kind.ALIAS]:
            return
        found = {entry["AliasName"]: entry.get("TargetKeyId") for entry in self._pages("ListAliases", "Aliases")}
        for alias in known[Kind.ALIAS]:
            self._compare(Kind.ALIAS, alias, known, found.get(alias))

    def _grants(self) -> None:
        known = self._known(Kind.GRANT)
        grants: dict[str, set[str]] = {}
        for name in known[Kind.GRANT]:
            key_id, grant_id = name.split()
            if key_id not in grants:
                listed = self._ask("ListGrants", KeyId=key_id).get("Grants", [])
                grants[key_id] = {grant["GrantId"] for grant in listed}
            self._compare(Kind.GRANT, name, known, grant_id in grants[key_id])

    def _blobs(self) -> None:
        for blob in list(self._ledger.blobs):
            if self._at is None or blob.acknowledged <= self._at:
                state = self._states.get(blob.key_id, _ABSENT)
                self._decrypts(blob.ciphertext, blob.plaintext, state, blob.key_id)

    def _decrypts(self, ciphertext: str, plaintext: str, state: str, key_id: str) -> None:
        try:
            found = self._client("Decrypt", CiphertextBlob=ciphertext)["Plaintext"]
        except CallRefused as error:
            if error.code not in _REFUSALS.get(state, ()):
                self.differences.append(f"a ciphertext of {key_id}, which is {state}, gives {error}")
            return
        if state in _REFUSALS:
            self.differences.append(f"a ciphertext of {key_id}, which is {state}, is decrypted")
        if found != plaintext:
            self.differences.append(f"WRONG PLAINTEXT of {key_id}: {found} for {plaintext}")

    def _known(self, *kinds: Kind) -> dict[Kind, dict[str, set[Hashable]]]:
        return {kind: self._ledger.known(kind, self._at, self._until) for kind in kinds}

    def _compare(self, kind: Kind, name: str, known: Mapping[Kind, Mapping[str, set[Hashable]]], found: object) -> None:
        allowed = known[kind].get(name)
        if allowed is not None and found not in allowed:
            self.differences.append(f"{kind} {name}: found {found}, not {' or '.join(map(str, allowed))}")

    def _ask(self, operation: str, **request: Any) -> dict[str, Any]:
        """Call KMS; what it refuses is not there. Other errors are differences, too."""
        try:
            return self._client(operation, **request)
        except CallRefused as error:
            if error.code != "NotFoundException":
                self.differences.append(f"{operation} {request.get('KeyId')}: {error}")
            return {}

    def _pages(self, operation: str, member: str) -> Iterable[dict[str, Any]]:
        marker: dict[str, Any] = {}
        while True:
            page = self._ask(operation, Limit=100, **marker)
            yield from page.get(member, [])
            if not page.get("Truncated"):
                return
            marker = {"Marker": page["NextMarker"]}


def unrecorded(data: Path | Iterable[Path], ledger: Ledger, at: int | None = None) -> list[str]:
    """Return the ids of calls that were answered by a moment and have no record in the audit logs of data folders."""
    folders = [data] if isinstance(data, Path) else data
    # A power cut can leave lines that are no JSON.
    recorded = {found[1].decode() for folder in folders for found in _REQUEST_ID.finditer(audit_bytes(folder))}
    return [each for each, moment in ledger.requests.items() if (at is None or moment <= at) and each not in recorded]
