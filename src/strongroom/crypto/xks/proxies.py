"""Calls of external key store proxies: signed, in time, and no more at a time than a store's gate allows.

A call waits for its turn at the gate for at most the patience of the setting `xks-timeout`, and then as long for the
answer, its connection included: AWS's 250 ms, unless the operator sets another. Nothing is tried twice: the caller of
KMS does that, who knows whether it is worth it.
"""

from collections.abc import Callable, Mapping
from functools import partial
from threading import Lock
from typing import TypeVar

import msgspec

from strongroom.clock import Clock
from strongroom.crypto.binding import custom_key_store_binding
from strongroom.crypto.external_keys import KeyUser
from strongroom.crypto.seal import UnsealError
from strongroom.crypto.service_secrets import ServiceSecrets
from strongroom.crypto.xks import messages
from strongroom.crypto.xks.allowed_hosts import AllowedHosts
from strongroom.crypto.xks.gate import Gates
from strongroom.crypto.xks.messages import Sealed
from strongroom.crypto.xks.signature import ProxyCredential, signed_request
from strongroom.errors import KmsError, QuarantinedRecordException
from strongroom.http.outgoing import (
    Answer,
    BadAnswer,
    CannotConnect,
    Connections,
    Deadline,
    Endpoint,
    OutgoingError,
    TlsFailed,
    TooLate,
)
from strongroom.keys.custom_key_stores import CustomKeyStore, XksProxy
from strongroom.keys.xks_failures import XksError, XksFailure

_FAILURES: dict[type[OutgoingError], XksFailure] = {
    CannotConnect: XksFailure.UNREACHABLE,
    TlsFailed: XksFailure.TLS_FAILED,
    TooLate: XksFailure.TIMED_OUT,
    BadAnswer: XksFailure.MALFORMED,
}
_SUCCESS = "success"

T = TypeVar("T")


class ExternalKeyRef(msgspec.Struct, frozen=True):
    """An external key of a connected store, for one call: who uses it, and the ARN of the KMS key that it is behind."""

    store: CustomKeyStore
    external_id: str
    key_arn: str
    user: KeyUser


class XksProxies:
    """The proxies of all external key stores, as ``ExternalKeyManagers`` has them. Safe to use from several threads."""

    def __init__(
        self,
        hosts: AllowedHosts,
        secrets: ServiceSecrets,
        clock: Clock,
        *,
        patience: float,
        at_once: int,
        connections: Connections | None = None,
    ) -> None:
        """Call the hosts that are allowed. ``patience`` is in seconds; a store may make ``at_once`` calls at a time."""
        self._hosts = hosts
        self._secrets = secrets
        self._clock = clock
        self._patience = patience
        self._gates = Gates(at_once)
        self._connections = connections or Connections(clock.timer)
        self._counting = Lock()
        self._outcomes: dict[tuple[str, str], int] = {}

    def require_healthy(self, store: CustomKeyStore, user: KeyUser) -> None:
        """Ask a proxy for its health; raises XksError.

        The gate is that of its host, because key stores that are about to be made have no calls yet to count.
        """
        self._call(store, None, "/health", messages.health_request(user), messages.require_healthy)

    def require_usable(self, store: CustomKeyStore, external_id: str, user: KeyUser) -> None:
        """Ask a proxy about an external key; raises XksError unless it can be behind a KMS key."""
        body: dict[str, object] = {"requestMetadata": messages.request_metadata(user)}
        self._call(store, _gate_of(store), f"/keys/{external_id}/metadata", body, messages.require_usable)

    def encrypt(self, key: ExternalKeyRef, plaintext: bytes, associated_data: bytes) -> Sealed:
        """Have a proxy encrypt; raises XksError."""
        body = messages.encrypt_request(messages.request_metadata(key.user, key.key_arn), plaintext, associated_data)
        path = f"/keys/{key.external_id}/encrypt"
        read = partial(messages.read_encrypted, plaintext=plaintext, associated_data=associated_data)
        return self._call(key.store, _gate_of(key.store), path, body, read)

    def decrypt(self, key: ExternalKeyRef, sealed: Sealed, associated_data: bytes) -> bytes:
        """Have a proxy decrypt; raises XksError."""
        body = messages.decrypt_request(messages.request_metadata(key.user, key.key_arn), sealed, associated_data)
        path = f"/keys/{key.external_id}/decrypt"
        read = partial(messages.read_decrypted, sealed=sealed)
        return self._call(key.store, _gate_of(key.store), path, body, read)

    def outcomes(self) -> dict[tuple[str, str], int]:
        """Return how many calls there were, by what was called and how it ended."""
        with self._counting:
            return self._outcomes.copy()

    def close(self) -> None:
        """Close the connections that are kept."""
        self._connections.close()

    def _call(
        self,
        store: CustomKeyStore,
        gate: str | None,
        path: str,
        body: Mapping[str, object],
        read: Callable[[Answer], T],
    ) -> T:
        """Make one call, through a gate or that of the host; raises XksError.

        Raises ThrottlingException if too many wait at the gate.
        """
        _, _, name = path.rpartition("/")
        try:
            # First: hosts that may not be called have no gates.
            endpoint = self._hosts.endpoint(_proxy_of(store))
            with self._gates.named(gate or endpoint.name).passed(Deadline(self._clock.timer, self._patience)):
                result = read(self._exchange(endpoint, store, path, msgspec.json.encode(body)))
        except XksError as error:
            self._count(name, error.failure.value)
            raise
        except KmsError as error:
            self._count(name, error.code)
            raise
        self._count(name, _SUCCESS)
        return result

    def _exchange(self, endpoint: Endpoint, store: CustomKeyStore, path: str, body: bytes) -> Answer:
        deadline = Deadline(self._clock.timer, self._patience)
        whole_path, credential = _proxy_of(store).uri_path + path, self._credential(store)
        request = signed_request(endpoint.name, whole_path, body, credential, store.region, self._clock.now())
        try:
            return self._connections.exchange(endpoint, request, deadline)
        except OutgoingError as error:
            raise XksError(_FAILURES[type(error)], str(error)) from None

    def _credential(self, store: CustomKeyStore) -> ProxyCredential:
        try:
            secret = self._secrets.unwrap(store.wrapped_secret, custom_key_store_binding(store.store_id))
        except UnsealError:
            raise QuarantinedRecordException(
                f"The stored secret of custom key store {store.store_id} is damaged. Set it again."
            ) from None
        return ProxyCredential(_proxy_of(store).access_key_id, secret.decode())

    def _count(self, name: str, outcome: str) -> None:
        with self._counting:
            self._outcomes[name, outcome] = self._outcomes.get((name, outcome), 0) + 1


def _gate_of(store: CustomKeyStore) -> str:
    return f"custom key store {store.store_id}"


def _proxy_of(store: CustomKeyStore) -> XksProxy:
    if store.xks is None:
        raise LookupError(store.store_id)
    return store.xks
