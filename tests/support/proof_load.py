"""Clients that make message authentication codes and signatures, which must be valid ever after."""

import base64
import itertools
import threading
from typing import Any

import msgspec

from fast_client import CallRefused, FastClient, NoAnswer
from ledger import Kind, Ledger, Subject

_PROOFS_OF_A_KEY = 4
_KINDS = (
    ("HMAC_256", "GENERATE_VERIFY_MAC", "GenerateMac", "VerifyMac", "Mac", {"MacAlgorithm": "HMAC_SHA_256"}),
    ("ECC_NIST_P256", "SIGN_VERIFY", "Sign", "Verify", "Signature", {"SigningAlgorithm": "ECDSA_SHA_256"}),
)


class Proof(msgspec.Struct, frozen=True):
    """A request that must be answered with success: to verify a code or a signature."""

    operation: str
    request: dict[str, Any]


class ProofLoad:
    """One client, with keys of its own. ``proofs`` has what it was given."""

    def __init__(self, client: FastClient, ledger: Ledger) -> None:
        self._client = client
        self._ledger = ledger
        self._numbers = itertools.count()
        self.proofs: list[Proof] = []

    def run(self, ended: threading.Event) -> None:
        """Make keys and use them until ``ended`` is set, or there is no answer."""
        try:
            while not ended.is_set():
                try:
                    self.live(next(self._numbers))
                except CallRefused:
                    continue
        except NoAnswer:
            return
        finally:
            self._client.close()

    def live(self, number: int) -> None:
        """Make one key and use it; raises CallRefused and NoAnswer."""
        spec, usage, make, verify, member, algorithm = _KINDS[number % len(_KINDS)]
        sent = self._ledger.moment()
        key_id: str = self._call("CreateKey", KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["KeyId"]
        self._ledger.began(Subject(Kind.STATE, key_id), "Enabled", sent)
        for turn in range(_PROOFS_OF_A_KEY):
            message = base64.b64encode(b"%d %d" % (number, turn)).decode()
            request = {"KeyId": key_id, "Message": message, **algorithm}
            proof = self._call(make, **request)[member]
            self.proofs.append(Proof(verify, {**request, member: proof}))

    def _call(self, operation: str, /, **request: Any) -> dict[str, Any]:
        answer = self._client(operation, **request)
        self._ledger.answered(self._client.request_id)
        return answer


def differences(client: FastClient, proofs: list[Proof]) -> list[str]:
    """Return what is not valid any more, one line each."""
    found = []
    for proof in proofs:
        try:
            client(proof.operation, **proof.request)
        except CallRefused as error:
            found.append(f"{proof.operation} with {proof.request['KeyId']}: {error}")
    return found
