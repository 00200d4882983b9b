"""The public keys of issuers, fetched from the issuers themselves: only where the operator allows it.

Source: OpenID Connect Discovery 1.0, 4. Every account that may make providers then has this server connect to URLs of
its choice: so over verified TLS only, without redirects and proxies, with bounds on time and size, and the caller never
sees what was received.

A fetch runs on a thread of its own, at most one at a time for an account. One call of the process waits for a fetch, a
few seconds at most; the others do without, and find the keys when they are asked again. So issuers that do not answer
hold up one call at a time, and keep no other account's keys from being fetched.
"""

import http.client
import json
import logging
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Lock, Thread, Timer
from typing import Any
from urllib.parse import urlsplit

import jwt
import msgspec

from strongroom.bounded_cache import put
from strongroom.crypto.documents.issuer_keys import MAX_KEYS_SIZE, UnusableKeys, parsed_keys

FRESH = 600.0
"""For how many seconds fetched keys are used without asking again."""
LIMIT = 3600.0
"""For how many seconds they are used at most, while the issuer does not answer."""
RETRY = 60.0
"""The least number of seconds between two fetches from one issuer."""
PATIENCE = 5.0
"""For how many seconds a call waits for a fetch."""

_STEP = 4.0
"""For how many seconds a connection, or a read from it, may take."""
_TOTAL = 8.0
"""For how many seconds an answer may take as a whole, however slowly it trickles in."""
_CHUNK = 8192
_OK = 200
_MAX_ISSUERS = 1000
_MAX_FETCHES = 32
"""How many accounts can have a fetch under way in a process."""
_DISCOVERY = "/.well-known/openid-configuration"
# What a connection, or an answer that is none, can raise.
_FAILURES = (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, RecursionError, UnusableKeys)

logger = logging.getLogger(__name__)


class _Known(msgspec.Struct, frozen=True):
    """What is known of an issuer's keys. Times are in epoch seconds; ``tried_at`` is the last fetch that was begun."""

    tried_at: float
    fetched_at: float = 0.0
    keys: jwt.PyJWKSet | None = None

    def at(self, now: float, age: float) -> jwt.PyJWKSet | None:
        """Return the keys unless they are older than an age."""
        return self.keys if now - self.fetched_at < age else None


class FetchedKeys:
    """The fetched keys of this process. Safe to use from several threads, all of which may wait."""

    def __init__(self, fetch: Callable[[str], str], patience: float = PATIENCE) -> None:
        """Begin with no keys; ``fetch`` returns the JWK Set of an issuer by its URL."""
        self._fetch = fetch
        self._patience = patience
        self._known: dict[str, _Known] = {}
        self._busy: set[str] = set()
        self._starting = Lock()
        self._waiting = Lock()

    def of(self, issuer: str, account: str, key_id: object, now: float) -> jwt.PyJWKSet | None:
        """Return the keys of an issuer that an account trusts; None if they cannot be had.

        They are fetched if they are not fresh at ``now`` (epoch seconds), or lack the key that a token names.
        """
        known = self._known.get(issuer)
        fresh = None if known is None else known.at(now, FRESH)
        if fresh is not None and (key_id is None or any(key.key_id == key_id for key in fresh.keys)):
            return fresh
        if known is None or now - known.tried_at >= RETRY:
            self._refresh(issuer, account, now)
            known = self._known.get(issuer)
        return None if known is None else known.at(now, LIMIT)

    def _refresh(self, issuer: str, account: str, now: float) -> None:
        """Fetch an issuer's keys, unless a fetch of the account is under way; wait for them, but not long."""
        with self._starting:
            if account in self._busy or len(self._busy) >= _MAX_FETCHES:
                return
            self._busy.add(account)
        done = Event()
        known = self._known.get(issuer) or _Known(now)
        put(self._known, issuer, msgspec.structs.replace(known, tried_at=now), _MAX_ISSUERS)
        try:
            Thread(target=self._run, args=(issuer, account, now, done), daemon=True, name="issuer-keys").start()
        except RuntimeError:
            self._busy.discard(account)
            logger.warning("the keys of %s cannot be fetched: no thread can be started", issuer)
            return
        if self._waiting.acquire(blocking=False):
            try:
                done.wait(self._patience)
            finally:
                self._waiting.release()

    def _run(self, issuer: str, account: str, now: float, done: Event) -> None:
        try:
            keys = parsed_keys(self._fetch(issuer))
            put(self._known, issuer, _Known(tried_at=now, fetched_at=now, keys=keys), _MAX_ISSUERS)
        except _FAILURES as error:
            logger.warning("the keys of %s cannot be fetched: %s", issuer, error)
        finally:
            self._busy.discard(account)
            done.set()


def fetch_keys(issuer: str) -> str:
    """Return the JWK Set that an issuer publishes.

    Raises OSError, HTTPException and ValueError for an issuer that cannot be reached, or does not answer as it must.
    """
    document: Any = json.loads(_get(issuer.rstrip("/") + _DISCOVERY))
    if document["issuer"] != issuer:
        raise ValueError("its discovery document is that of another issuer")
    return _get(str(document["jwks_uri"]))


def _get(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "https" or parts.hostname is None:
        raise ValueError("its keys are not at an https URL")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    context = ssl.create_default_context()
    connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=_STEP, context=context)
    try:
        connection.connect()
        late = Event()
        end = Timer(_TOTAL, _shut, (connection.sock, late))
        end.daemon = True
        end.start()
        try:
            connection.request("GET", path, headers={"Accept": "application/json", "User-Agent": "strongroom"})
            answer = connection.getresponse()
            if answer.status != _OK:
                raise ValueError(f"it answered with HTTP status {answer.status}")
            received = _bounded(answer)
            # Without this, the end of a connection that was cut would be taken for the end of the answer.
            if late.is_set():
                raise TimeoutError("it did not answer in time")
            return received
        finally:
            end.cancel()
    finally:
        connection.close()


def _shut(connection: socket.socket, late: Event) -> None:
    """End a connection, also for the thread that is reading from it."""
    late.set()
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _bounded(answer: http.client.HTTPResponse) -> str:
    received = b""
    while chunk := answer.read1(_CHUNK):
        received += chunk
        if len(received) > MAX_KEYS_SIZE:
            raise ValueError(f"it answered with more than {MAX_KEYS_SIZE} bytes")
    return received.decode()
