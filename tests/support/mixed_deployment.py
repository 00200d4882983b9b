"""A deployment whose keys live in two key back ends: one in software, the other a simulated token."""

from pathlib import Path
from typing import Any

from msgspec.structs import replace
from typing_extensions import override

from local_deployment import LocalDeployment, entropy
from strongroom.clock import ManualClock
from strongroom.crypto.key_backends import KeyBackends
from strongroom.keys.custom_key_stores import ConnectionState
from strongroom.maintenance.keeper import Keeper
from strongroom.service.audit_trail import AuditTrail
from strongroom.service.credentials import Credentials
from strongroom.service.pipeline import Pipeline
from strongroom.service.request_quotas import RequestQuotas
from strongroom.service.unauthenticated import RecordRateLimit
from strongroom.snapshot.snapshot import Snapshot
from strongroom.store.protocol import Transaction
from strongroom.usage.access_key_usage import AccessKeyUsage
from token_backend import TokenBackend
from watched_store import WatchedStore

ACCOUNT = "000000000000"
REGIONS = ("us-east-1", "eu-west-1", "ap-southeast-2")


class MixedDeployment(LocalDeployment):
    """A deployment with a default key store and one connected custom key store, ``store_id``, in us-east-1."""

    def __init__(
        self, folder: Path, clock: ManualClock, *, token_is_default: bool, reruns: bool = False, **more: Any
    ) -> None:
        """Open a folder; ``reruns`` is as in ``WatchedStore``, ``more`` are settings."""
        super().__init__(folder, clock, REGIONS, **more)
        self._token_is_default = token_is_default
        self._reruns = reruns
        self.token = TokenBackend(entropy, self._writing)
        made = self.call(
            "CreateCustomKeyStore",
            CustomKeyStoreName="token",
            CloudHsmClusterId="cluster-aaaaaaaaaaa",
            KeyStorePassword="password",
            TrustAnchorCertificate="certificate",
        )
        self.store_id: str = made["CustomKeyStoreId"]
        self._install()
        self.put_in_state(ConnectionState.CONNECTED)

    def _connect(self, transaction: Transaction) -> None:
        store = transaction.custom_key_store(ACCOUNT, "us-east-1", self.store_id)
        assert store is not None
        transaction.put_custom_key_store(replace(store, state=ConnectionState.CONNECTED))

    @override
    def reopen(self) -> None:
        """Stop and start again; the token goes on, as it is another machine."""
        super().reopen()
        self._install()

    def _writing(self) -> bool:
        return self.store.writing()

    def _install(self) -> None:
        deployment, backends = self.deployment, self.deployment.backends
        software = backends.key_backends.of_store(None)
        default, custom = (self.token, software) if self._token_is_default else (software, self.token)
        key_backends = KeyBackends(default, {self.store_id: custom})
        self.store = WatchedStore(backends.store, reruns=self._reruns)
        backends = replace(
            backends,
            store=self.store,
            key_backends=key_backends,
            snapshot=Snapshot(self.store, key_backends, backends.secrets),
        )
        trail, usage = AuditTrail(deployment.log, entropy), AccessKeyUsage(self.store)
        deployment.backends = backends
        credentials = Credentials(backends.snapshot)
        pipeline = Pipeline(backends, credentials, RequestQuotas((), ()), trail, usage, RecordRateLimit())
        deployment.service = replace(deployment.service, pipeline=pipeline)
        deployment.keeper = Keeper(backends, trail, deployment.log, self.clock, deployment.clock_watch, usage)
        deployment.chores = deployment.keeper.run

    def new_key(self, **request: Any) -> str:
        """Make a key in the default key store; return its id."""
        key_id: str = self.call("CreateKey", **request)["KeyMetadata"]["KeyId"]
        return key_id

    def new_key_in_custom_store(self) -> str:
        """Make a key in the custom key store; return its id."""
        return self.new_key(Origin="AWS_CLOUDHSM", CustomKeyStoreId=self.store_id)

    def put_in_state(self, state: ConnectionState) -> None:
        """Connect or disconnect the custom key store."""

        def act(transaction: Transaction) -> None:
            store = transaction.custom_key_store(ACCOUNT, "us-east-1", self.store_id)
            assert store is not None
            transaction.put_custom_key_store(replace(store, state=state))

        self.store.write(act)

    def live_tokens(self) -> set[bytes]:
        """Return the tokens that keys have in the simulated token."""
        found: set[bytes] = set()
        with self.store.read() as reader:
            for region in REGIONS:
                keys = [reader.key(locator) for locator in reader.keys(ACCOUNT, region, "", 1000)]
                for key in keys:
                    if key is not None and self.deployment.backends.key_backends.of(key) is self.token:
                        found |= {material.token for material in key.materials if material.token is not None}
        return found

    def require_no_orphans(self) -> None:
        """Fail unless the token holds exactly what keys have, and was never called from where it must not be."""
        assert set(self.token.objects) == self.live_tokens()
        assert self.token.misuses == []
