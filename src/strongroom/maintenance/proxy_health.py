"""Asks the proxies of connected external key stores for their health, every few minutes: as a metric and a log line.

A proxy that is not healthy does not change the state of its key store: its calls fail by themselves, and succeed again
when it is back. A round of the keeper asks a few proxies only, because each may take as long as its deadline.
"""

import logging
import math
from collections.abc import Callable

from strongroom.errors import KmsError
from strongroom.keys.custom_key_stores import ConnectionState, CustomKeyStore, CustomKeyStoreType
from strongroom.keys.xks_failures import XksError
from strongroom.operations.context import Backends
from strongroom.operations.kms.custom_key_stores import require_healthy_proxy

INTERVAL = 300.0
"""Seconds from the beginning of one sweep over all stores to that of the next."""
_BATCH = 100
_MOST_ASKED = 4
"""How many proxies one round of the keeper asks."""

logger = logging.getLogger(__name__)


class ProxyHealth:
    """Sweeps over the external key stores of all accounts. ``healthy`` has the outcomes, by the ids of the stores."""

    def __init__(self, backends: Backends, timer: Callable[[], float], healthy: dict[str, bool]) -> None:
        self._backends = backends
        self._timer = timer
        self.healthy = healthy
        self._begun = -math.inf
        self._after: tuple[str, str, str] | None = ("", "", "")
        self._waiting: list[CustomKeyStore] = []
        self._seen: set[str] = set()

    def check(self) -> None:
        """Ask the next few proxies, if it is time."""
        if self._after is None and not self._waiting:
            if self._timer() - self._begun < INTERVAL:
                return
            self._after = ("", "", "")
        if self._after == ("", "", ""):
            self._begun = self._timer()
        self._find()
        now, self._waiting = self._waiting[:_MOST_ASKED], self._waiting[_MOST_ASKED:]
        for store in now:
            self._ask(store)
        if self._after is None and not self._waiting:
            self._end_sweep()

    def _find(self) -> None:
        """Read stores until some are found to ask, or all have been read."""
        while self._after is not None and not self._waiting:
            with self._backends.store.read() as reader:
                found = reader.custom_key_stores_after(self._after, _BATCH)
            self._waiting = [store for store in found if _is_asked(store)]
            last = found[-1] if len(found) == _BATCH else None
            self._after = None if last is None else (last.account, last.region, last.store_id)

    def _ask(self, store: CustomKeyStore) -> None:
        before = self.healthy.get(store.store_id, True)
        reason = ""
        try:
            require_healthy_proxy(self._backends, store)
        except (XksError, KmsError) as error:
            reason = str(error)
        self._seen.add(store.store_id)
        self.healthy[store.store_id] = not reason
        if reason and before:
            logger.warning("the proxy of custom key store %s is not healthy: %s", store.store_id, reason)
        elif not reason and not before:
            logger.info("the proxy of custom key store %s is healthy again", store.store_id)

    def _end_sweep(self) -> None:
        """Forget the stores that are gone or not connected any more."""
        for store_id in self.healthy.keys() - self._seen:
            del self.healthy[store_id]
        self._seen = set()


def _is_asked(store: CustomKeyStore) -> bool:
    return store.type is CustomKeyStoreType.EXTERNAL_KEY_STORE and store.state is ConnectionState.CONNECTED
