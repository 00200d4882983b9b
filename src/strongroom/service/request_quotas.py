"""Request quotas: how many requests of a kind an account may make in a second, in each Region. None unless set.

The kinds are AWS's: cryptography with keys of one family, data key pairs of one spec, and every other operation by
itself. The caller's account is charged, also for using another account's key.

Source: KMS Developer Guide, "Request quotas".
"""

from collections.abc import Iterable, Iterator, Sequence
from threading import Lock
from typing import Protocol

from strongroom.errors import ThrottlingException
from strongroom.keys.specs import KeySpec
from strongroom.operations.kms.data_key_pairs import DataKeyPairSpec, GenerateDataKeyPairWithoutPlaintextRequest
from strongroom.operations.kms.multi_region import ReplicateKeyRequest
from strongroom.operations.kms.table import TABLE
from strongroom.operations.operation import Operation
from strongroom.operations.shapes import Request
from strongroom.operations.targets import Target
from strongroom.settings import RequestQuota, SettingsError
from strongroom.settings_values import meant
from strongroom.token_bucket import TokenBucket

_EXCEEDED = "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls."

_FAMILIES = (
    ("symmetric", ("SYMMETRIC_DEFAULT", "HMAC_")),
    ("rsa", ("RSA_",)),
    ("ecc", ("ECC_", "SM2")),
    ("ml-dsa", ("ML_DSA_",)),
    ("ml-kem", ("ML_KEM_",)),
)
FAMILY = {spec: name for spec in KeySpec for name, prefixes in _FAMILIES if spec.startswith(prefixes)}
"""Key spec → the kind of cryptography with such a key."""

_CRYPTOGRAPHY = frozenset(row.name for row in TABLE.values() if row.uses) | {"GenerateRandom"}
KINDS = frozenset(
    {
        *FAMILY.values(),
        *(f"data-key-pair-{spec}" for spec in DataKeyPairSpec),
        *(row.name for row in TABLE.values() if row.service == "kms" and row.name not in _CRYPTOGRAPHY),
    }
)
"""Every kind of request that can have a quota."""
_KINDS_IN_WORDS = (
    f"{', '.join(name for name, _ in _FAMILIES)} (all cryptography with such keys), data-key-pair-SPEC, and the name "
    "of each operation without cryptography, such as CreateKey"
)


def kinds_of(operation: Operation, request: Request, targets: Iterable[Target]) -> frozenset[str]:
    """Return what a request counts as. One that uses keys of two families counts for both."""
    if operation.name not in _CRYPTOGRAPHY:
        return frozenset({operation.name}) & KINDS
    if isinstance(request, GenerateDataKeyPairWithoutPlaintextRequest):
        return frozenset({f"data-key-pair-{request.key_pair_spec}"})
    keys = (target.key.key for target in targets if target.key is not None)
    return frozenset(FAMILY[key.spec] for key in keys) or frozenset({"symmetric"})


class Buckets(Protocol):
    """Token buckets by account, Region and kind of request. It is not safe to use from several threads."""

    def take(self, name: tuple[str, str, str], rate: float, now: float, cost: int) -> bool:
        """Take ``cost`` tokens from a bucket and return True, or return False if there is not one whole token.

        The bucket gains ``rate`` tokens a second and holds those of one second, but at least one token. ``now`` is in
        epoch seconds.
        """
        ...


class OwnBuckets:
    """The buckets of a worker that serves alone."""

    def __init__(self) -> None:
        self._buckets: dict[tuple[str, str, str], TokenBucket] = {}

    def take(self, name: tuple[str, str, str], rate: float, now: float, cost: int) -> bool:
        """Take tokens from a bucket; see ``Buckets``."""
        bucket = self._buckets.get(name)
        if bucket is None:
            # A rate below one would let no request through if the bucket could not hold one token.
            bucket = self._buckets[name] = TokenBucket(rate, max(rate, 1.0), now)
        elif bucket.rate != rate:
            bucket.change_rate(rate, max(rate, 1.0), now)
        return bucket.take(now, cost)


class RequestQuotas:
    """Counts requests, and refuses those beyond a quota. Safe to use from several threads."""

    def __init__(self, quotas: Sequence[RequestQuota], regions: Sequence[str], buckets: Buckets | None = None) -> None:
        """Take the quotas, and the buckets that all workers share; without them, this worker serves alone.

        Raises SettingsError for an unknown kind, or for two quotas of the same kind and account.
        """
        self._rates: dict[tuple[str, str | None], float] = {}
        for quota in quotas:
            if quota.requests not in KINDS:
                suggestion = meant(quota.requests, KINDS) or f"; those are {_KINDS_IN_WORDS}"
                raise SettingsError(f"`{quota.requests}` in request-quotas is no kind of request{suggestion}")
            if (quota.requests, quota.account) in self._rates:
                whose = quota.account or "all accounts"
                raise SettingsError(f"request-quotas has `{quota.requests}` for {whose} twice")
            self._rates[quota.requests, quota.account] = quota.per_second
        self._regions = frozenset(regions)
        self._lock = Lock()
        self.share = 1.0
        """The part of each quota that this node may use; others have the rest (``quota_share``)."""
        self._buckets = OwnBuckets() if buckets is None else buckets

    def spend(
        self, operation: Operation, request: Request, targets: Sequence[Target], account: str, region: str, now: float
    ) -> None:
        """Count a request; raises ThrottlingException if its account has none left."""
        with self._lock:
            for kind, where, cost in self._costs(operation, request, targets, region):
                rate = self._rates.get((kind, account), self._rates.get((kind, None)))
                if rate is not None and not self._buckets.take((account, where, kind), rate * self.share, now, cost):
                    raise ThrottlingException(_EXCEEDED)

    def _costs(
        self, operation: Operation, request: Request, targets: Sequence[Target], region: str
    ) -> Iterator[tuple[str, str, int]]:
        for kind in kinds_of(operation, request, targets):
            yield kind, region, 1
        if isinstance(request, ReplicateKeyRequest) and request.replica_region in self._regions:
            # AWS counts the key that ReplicateKey makes in the other Region as two requests to CreateKey there.
            yield "CreateKey", request.replica_region, 2
