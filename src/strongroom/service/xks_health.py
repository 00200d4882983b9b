"""The health of an XKS proxy: whether a test key, which is no customer's, still encrypts and decrypts.

A result is kept for less than a minute, which the specification allows, so that health checks cost a hardware token
next to nothing. Source: External Key Store Proxy API Specification 1.0.3, GetHealthStatus.
"""

import logging
from collections.abc import Callable
from threading import Lock
from typing import cast

from strongroom.crypto.backing_keys import SymmetricKey
from strongroom.crypto.key_backend import KeyBackend
from strongroom.crypto.material import MaterialBinding
from strongroom.crypto.seal import UnsealError
from strongroom.keys.specs import KeySpec
from strongroom.xks_proxy.replies import HealthStatus

logger = logging.getLogger(__name__)

_KEPT = 50.0
"""Seconds for which a result is used."""
_KEPT_FAILURE = 5.0
_PATIENCE = 0.1
"""Seconds to wait for the check of another thread."""
_RENEWED = 20.0
"""Seconds after which a result is renewed in the background, so that a check need not wait for one."""
_TEST = b"is this key usable?"
_NOT_A_MATERIAL = "00" * 32


class XksHealth:
    """Checks a key back end and what else every call needs. Safe to use from several threads.

    ``others`` raises an error if what else is needed cannot be used. ``timer`` gives seconds for durations.
    """

    def __init__(
        self, backend: KeyBackend, region: str, others: Callable[[], None], timer: Callable[[], float]
    ) -> None:
        self._backend = backend
        self._others = others
        self._timer = timer
        # The token is of no key in the database, and ends with the process.
        self._binding = MaterialBinding("", region, "xks-health", _NOT_A_MATERIAL, KeySpec.SYMMETRIC_DEFAULT)
        self._token: bytes | None = None
        self._status = HealthStatus.UNAVAILABLE
        self._checked_at: float | None = None
        self._checking = Lock()

    def status(self) -> HealthStatus:
        """Return the present status, from a check that is less than a minute old.

        It may wait for the key back end, but not for the check of another thread, which may hang.
        """
        return self._at_most(_KEPT if self._status is HealthStatus.ACTIVE else _KEPT_FAILURE)

    def renew(self) -> None:
        """Check again if it is time: for a thread that may wait."""
        self._at_most(_RENEWED if self._status is HealthStatus.ACTIVE else _KEPT_FAILURE)

    def _at_most(self, age: float) -> HealthStatus:
        if not self._checking.acquire(timeout=_PATIENCE):
            checked_at = self._checked_at
            is_recent = checked_at is not None and self._timer() - checked_at < _KEPT
            return self._status if is_recent else HealthStatus.UNAVAILABLE
        try:
            if self._checked_at is None or self._timer() - self._checked_at >= age:
                self._status = self._check()
                self._checked_at = self._timer()
            return self._status
        finally:
            self._checking.release()

    def _check(self) -> HealthStatus:
        try:
            key = self._load()
            works = key.decrypt(key.encrypt(_TEST, b""), b"") == _TEST
            self._others()
        except Exception as error:  # noqa: BLE001 - whatever fails, calls would fail in the same way
            logger.warning("the health check of the XKS proxy failed: %s", str(error) or type(error).__name__)
            return HealthStatus.UNAVAILABLE
        return HealthStatus.ACTIVE if works else HealthStatus.UNAVAILABLE

    def _load(self) -> SymmetricKey:
        """Return the test key: a new one if there is none, or if the domain key that has wrapped it was destroyed."""
        if self._token is not None:
            try:
                return cast("SymmetricKey", self._backend.load(self._token, self._binding))
            except UnsealError:
                self._token = None
        self._token = self._backend.generate(self._binding)
        return cast("SymmetricKey", self._backend.load(self._token, self._binding))

    def close(self) -> None:
        """Destroy the test key."""
        if self._token is not None:
            self._backend.destroy(self._token, self._binding)
            self._token = None
