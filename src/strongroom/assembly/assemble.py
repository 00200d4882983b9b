"""Puts the parts together: from settings to a deployment that can perform calls."""

import os
from types import TracebackType
from typing import Self

from strongroom.assembly.data_folder import DataFolder, ensure_account, open_store, open_vault
from strongroom.clock import Clock
from strongroom.entropy import Entropy
from strongroom.iam import Principal, account_root
from strongroom.operations.context import Backends
from strongroom.service.keeper import Keeper
from strongroom.service.service import Service
from strongroom.service.trail import Trail
from strongroom.settings import Settings
from strongroom.snapshot.snapshot import Snapshot
from strongroom.store.audit_log import AuditLog
from strongroom.store.protocol import AccessKeyRecord


class Deployment:
    """One data folder, opened: the service, its keeper and its audit log. Close it to let go of the folder."""

    def __init__(self, settings: Settings, clock: Clock, entropy: Entropy) -> None:
        """Open the data folder, made at the first start; raises DataFolderError, UnsealError, UnknownSchemaError."""
        self.settings = settings
        self.folder = DataFolder(settings.folder)
        self._lock = self.folder.lock()
        self._store = open_store(self.folder)
        vault = open_vault(self.folder, self._store, settings, entropy)
        ensure_account(self.folder, self._store, vault, settings, clock, entropy)
        snapshot = Snapshot(self._store, vault, _principal_of, settings.cached_keys)
        backends = Backends(store=self._store, vault=vault, snapshot=snapshot, entropy=entropy)
        self.log = AuditLog(self.folder.audit_log, settings.durability)
        trail = Trail(self.log, entropy)
        self.service = Service(backends, trail)
        self.keeper = Keeper(backends, trail, self.log, clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write what is left of the audit log, and let go of the folder."""
        try:
            self.log.close()
        finally:
            self._store.close()
            os.close(self._lock)


def _principal_of(record: AccessKeyRecord) -> Principal:
    # Every access key is a root key until there are other principals to hold one.
    return account_root(record.account)
