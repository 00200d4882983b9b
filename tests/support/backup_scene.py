"""Backups and restores of a local deployment, without the command line."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from local_deployment import LocalDeployment, entropy
from strongroom.assembly.backups.maker import BackupMaker, MadeBackup
from strongroom.assembly.backups.restore import Restore, RestoredBackup, RestoreRequest
from strongroom.assembly.backups.root_key_source import RootKeySource
from strongroom.assembly.backups.verification import VerifiedBackup, verify_backup
from strongroom.assembly.open_folder import open_existing
from strongroom.assembly.unsealing import Unsealing
from strongroom.crypto.age.passphrase import PassphraseDecryption, PassphraseEncryption
from strongroom.crypto.age.stream import Decryption, Encryption
from strongroom.settings import Settings

PASSPHRASE = "correct horse"


def encryption() -> Encryption:
    """Return a fast encryption under ``PASSPHRASE``."""
    return PassphraseEncryption(PASSPHRASE, entropy, work_factor=10)


def decryption() -> Decryption:
    """Return the decryption with ``PASSPHRASE``."""
    return PassphraseDecryption(PASSPHRASE)


def back_up(deployment: LocalDeployment, to: Path, encrypted: Encryption | None = None, **more: Any) -> MadeBackup:
    """Make a backup beside an open deployment, after a round of its keeper, which signs the audit log."""
    deployment.deployment.log.checkpoint()
    with closing(open_existing(deployment.settings, deployment.clock, entropy)) as opened:
        return BackupMaker(opened, deployment.clock, entropy).make(to, encrypted, lambda *_: None, **more)


def verify(path: Path, how: Decryption | None = None, **more: Any) -> VerifiedBackup:
    """Verify a backup."""
    root_key = more.pop("root_key", None)
    unsealing = more.pop("unsealing", None) or Unsealing(Settings(), entropy)
    source = None if root_key is None else RootKeySource(root_key, unsealing, entropy)
    proof = {"root_key": source, "public_key": None} | more
    with path.open("rb") as file:
        return verify_backup(file, how, entropy=entropy, progress=lambda *_: None, **proof)


def restore(
    deployment: LocalDeployment,
    backup: MadeBackup,
    data: Path,
    *,
    audit: Sequence[Path] | None = None,
    root_key: bool | Path = True,
    **more: Any,
) -> RestoredBackup:
    """Restore a backup of a deployment, with its ``root.key``, the file ``root_key``, or without either."""
    key = root_key if isinstance(root_key, Path) else deployment.folder / "root.key" if root_key else None
    request = RestoreRequest(
        file=backup.path,
        data=data,
        root_key=key,
        audit=audit,
        **({"decryption": None, "unsealing": Unsealing(deployment.settings, entropy)} | more),
    )
    return Restore(request, deployment.clock, entropy, lambda *_: lambda *_: None).run()


def reopened(deployment: LocalDeployment, data: Path, **more: Any) -> LocalDeployment:
    """Open a restored data folder under the clock of the deployment; calls use the root access key of the old one.

    ``more`` are settings other than the defaults.
    """
    (data / "credentials").write_bytes((deployment.folder / "credentials").read_bytes())
    return LocalDeployment(data, deployment.clock, **more)
