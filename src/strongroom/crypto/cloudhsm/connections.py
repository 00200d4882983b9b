"""The connections of this process to the tokens of custom key stores.

The database says which key stores are connected. A process connects to the token of one when it first needs it, with
the password of the store as the PIN. ``CustomKeyStore.connections`` counts the times that a store was connected, so a
process notices that its connection is of an earlier time, also if the store is connected again at once. A lower number
need not be of an earlier time: a database that was set back counts again from there. Then the store is read anew while
the connection cannot change.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Protocol

import msgspec

from strongroom.crypto.binding import custom_key_store_binding
from strongroom.crypto.cloudhsm.configured import ConfiguredClusters
from strongroom.crypto.pkcs11.token import ModuleToken, Token
from strongroom.crypto.pkcs11.token_address import TokenAddress
from strongroom.crypto.seal import UnsealError
from strongroom.crypto.service_secrets import ServiceSecrets
from strongroom.crypto.token_errors import (
    Absence,
    TokenFaultError,
    TokenTimeoutError,
    TokenUnavailableError,
)
from strongroom.errors import CustomKeyStoreInvalidStateException, KMSInvalidStateException
from strongroom.keys.custom_key_stores import (
    CLUSTER_NOT_CONNECTED,
    ConnectionErrorCode,
    ConnectionState,
    CustomKeyStore,
    CustomKeyStoreType,
    with_usable_keys,
)

logger = logging.getLogger(__name__)

_TRYING, _ANOTHER = 10.0, 1.0
"""Seconds that Connect waits for a token, and for another call that connects the same store."""
_ENDING = 10.0
"""Seconds that Connect waits for the end of the earlier connection, in which calls may hang."""
_ERRORS = {
    Absence.LOST: ConnectionErrorCode.NETWORK_ERRORS,
    Absence.MISSING: ConnectionErrorCode.CLUSTER_NOT_FOUND,
    Absence.WRONG_PIN: ConnectionErrorCode.INVALID_CREDENTIALS,
    Absence.LOCKED: ConnectionErrorCode.USER_LOCKED_OUT,
    Absence.NO_USER: ConnectionErrorCode.USER_NOT_FOUND,
    Absence.OTHER_USER: ConnectionErrorCode.USER_LOGGED_IN,
    Absence.UNFIT: ConnectionErrorCode.INTERNAL_ERROR,
}

_KIND = CustomKeyStoreType.AWS_CLOUDHSM
_Place = tuple[str, str, str]
"""Account, Region and id of a store."""
_Made = tuple[int, str | None]
"""Which connection of a store one is: the number of it, and the cluster.

A database that was set back may have the number again, of a store that is in another cluster since.
"""


class KnownStores(Protocol):
    """Finds custom key stores. Both methods may wait for the database."""

    def find(self, account: str, region: str, store_id: str) -> CustomKeyStore | None:
        """Return a store as the present call sees it, or None if there is none."""
        ...

    def find_now(self, account: str, region: str, store_id: str) -> CustomKeyStore | None:
        """Return a store as the database has it, or None if there is none."""
        ...


class ConnectionOptions(msgspec.Struct, frozen=True):
    """How many calls a store makes at a time, how many handles it keeps, and which file is locked to log in."""

    threads: int
    handles: int
    start_lock: Path | None


class _Opened(msgspec.Struct):
    """The connection of one store, and ``made``, which one it is. The lock is held to change it.

    ``ending`` is True while the lock is held only to close the connection of a store that was disconnected.
    """

    lock: threading.Lock
    made: _Made = (0, None)
    token: ModuleToken | None = None
    ending: bool = False

    def lock_to_connect(self) -> bool:
        """Take the lock for a new connection; return False if another call is connecting the store.

        The end of an earlier connection is waited for: it is of no other call, and would leave the store disconnected
        without an attempt.
        """
        return self.lock.acquire(timeout=_ANOTHER) or (self.ending and self.lock.acquire(timeout=_ENDING))

    def token_for(self, store: CustomKeyStore) -> ModuleToken | None:
        """Return the connection if it is that of a store which is connected; None if there is none, or another one."""
        return self.token if self.made == _made_for(store) else None

    def is_of(self, store: CustomKeyStore | None) -> bool:
        """Tell whether it is the present connection of a store in that state."""
        return store is not None and store.state is ConnectionState.CONNECTED and self.made == _made_for(store)

    def end_unless(self, is_wanted: Callable[[], bool]) -> None:
        """Close the connection unless it is wanted, which is asked while nothing else can change it."""
        with self.lock:
            self.ending = True
            try:
                if not is_wanted():
                    self.close()
            finally:
                self.ending = False

    def close(self) -> None:
        if self.token is not None:
            self.token.close()
        self.token = None


class ClusterConnections:
    """Connections to the tokens of custom key stores. Safe to use from several threads, all of which may wait."""

    def __init__(
        self,
        clusters: ConfiguredClusters,
        secrets: ServiceSecrets,
        stores: KnownStores,
        options: ConnectionOptions,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clusters = clusters
        self._secrets = secrets
        self._stores = stores
        self._options = options
        self._timer = timer
        self._lock = threading.Lock()
        self._opened: dict[_Place, _Opened] = {}

    @property
    def ids(self) -> frozenset[str]:
        """The ids of all clusters."""
        return self._clusters.ids

    def require_usable(self, cluster_id: str, account: str, trust_anchor: str) -> None:
        """See ``Clusters``."""
        self._clusters.require_usable(cluster_id, account, trust_anchor)

    def token_of(self, account: str, region: str, store_id: str, *, now: bool = False) -> Token:
        """Return the token of a store; raises KMSInvalidStateException unless the store is connected.

        Outside of a call, which has seen the latest changes, ask for a store that is connected ``now``.
        """
        place = (account, region, store_id)
        find = self._stores.find_now if now else self._stores.find
        store = with_usable_keys(find(*place), _KIND)
        opened = self._of(store)
        token = opened.token_for(store)
        if token is not None:
            return token
        with opened.lock:
            token = opened.token_for(store)
            if token is None and store.connections <= opened.made[0]:
                # The call may have seen a store that was disconnected and connected again since: its password is an old
                # one, and tokens count wrong ones. Or the database was set back.
                store = with_usable_keys(self._stores.find_now(*place), _KIND)
                token = opened.token_for(store)
            if token is None:
                opened.close()
                token = self._new(store)
                opened.made, opened.token = _made_for(store), token
            return token

    def try_connection(self, store: CustomKeyStore) -> ConnectionErrorCode | None:
        """See ``Clusters``."""
        opened = self._of(store)
        if not opened.lock_to_connect():
            raise TokenUnavailableError(f"{store.store_id} is being connected by another call")
        try:
            # A login is the process's: without closing it, no password would be checked.
            opened.close()
            with closing(self._new(store)) as token:
                token.require(patience=_TRYING)
        except (TokenUnavailableError, TokenTimeoutError, TokenFaultError) as error:
            return _failed(store, error)
        finally:
            opened.lock.release()
        return None

    def random_bytes(self, store: CustomKeyStore, length: int) -> bytes:
        """See ``Clusters``."""
        try:
            token = self.token_of(store.account, store.region, store.store_id)
        except KMSInvalidStateException as error:
            raise CustomKeyStoreInvalidStateException(error.message) from None
        return token.run(lambda session: session.calls.random(length))

    def look(self) -> None:
        """Close the connections of stores that are not connected any more."""
        for place, opened in self._opened.copy().items():
            store = self._stores.find_now(*place)
            if opened.token is None:
                if store is None:
                    self._opened.pop(place, None)
            elif not opened.is_of(store):
                opened.end_unless(partial(self._is_wanted, opened, place))

    def close(self) -> None:
        """End all sessions."""
        for opened in self._opened.copy().values():
            opened.close()

    def _is_wanted(self, opened: _Opened, place: _Place) -> bool:
        return opened.is_of(self._stores.find_now(*place))

    def _of(self, store: CustomKeyStore) -> _Opened:
        place = (store.account, store.region, store.store_id)
        with self._lock:
            return self._opened.setdefault(place, _Opened(threading.Lock()))

    def _new(self, store: CustomKeyStore) -> ModuleToken:
        """Return a connection that is made at its first use; raises TokenUnavailableError."""
        cluster = self._clusters.find(store.cluster_id, store.account)
        if cluster is None:
            raise TokenUnavailableError(
                f"`cloudhsm-clusters` does not list {store.cluster_id} for account {store.account}", Absence.MISSING
            )
        try:
            pin = self._secrets.unwrap(store.wrapped_secret, custom_key_store_binding(store.store_id)).decode()
        except UnsealError as error:
            raise TokenUnavailableError(f"the password of {store.store_id}: {error}", Absence.UNFIT) from None
        address = TokenAddress(
            module=Path(cluster.module),
            token=cluster.token,
            pin=pin,
            arguments=cluster.init_args,
            handles=self._options.handles,
            threads=self._options.threads,
            start_lock=self._options.start_lock,
            use=f"the cluster of the custom key store {store.store_id}",
            pin_from=f"the KeyStorePassword of {store.store_id}",
            exclusive=True,
        )
        try:
            return ModuleToken(address, self._timer, _Reporter(store.store_id).report)
        except OSError as error:
            why = f"`module` of {cluster.id} in `cloudhsm-clusters` cannot be loaded: {error}"
            raise TokenUnavailableError(why, Absence.MISSING) from None


def _made_for(store: CustomKeyStore) -> _Made:
    return store.connections, store.cluster_id


class _Reporter:
    """Says once in the log that the token of a store is away, and once that it is back."""

    def __init__(self, store_id: str) -> None:
        self._store_id = store_id
        self._away = False

    def report(self, why: str | None) -> None:
        if why is not None and not self._away:
            logger.warning("calls with keys of the custom key store %s fail: %s", self._store_id, why)
        elif why is None and self._away:
            logger.warning("the token of the custom key store %s answers again", self._store_id)
        self._away = why is not None


def unusable(error: TokenUnavailableError | TokenFaultError, store_id: str) -> KMSInvalidStateException:
    """Return the refusal of a call whose token does not answer, or lacks its key."""
    refusal = KMSInvalidStateException(CLUSTER_NOT_CONNECTED)
    reason = error.absence.name if isinstance(error, TokenUnavailableError) else "REFUSED"
    refusal.details = {"customKeyStoreId": store_id, "cloudHsmFailure": reason}
    return refusal


def _failed(
    store: CustomKeyStore, error: TokenUnavailableError | TokenTimeoutError | TokenFaultError
) -> ConnectionErrorCode:
    logger.warning("custom key store %s cannot be connected: %s", store.store_id, error.explanation)
    if isinstance(error, TokenUnavailableError):
        return _ERRORS[error.absence]
    slow = isinstance(error, TokenTimeoutError)
    return ConnectionErrorCode.NETWORK_ERRORS if slow else ConnectionErrorCode.INTERNAL_ERROR
