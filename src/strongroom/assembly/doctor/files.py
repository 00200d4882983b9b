"""Checks of the data folder and of files with secrets: whose they are, who can read them, and the room on disks."""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from strongroom.assembly.doctor.results import Finding, critical, ok, warning
from strongroom.assembly.doctor.scene import Scene
from strongroom.assembly.node import require_node_id
from strongroom.settings import Settings

_OTHERS = stat.S_IRWXO
_NOT_OWNER = stat.S_IRWXG | stat.S_IRWXO
_MEGABYTE, _GIGABYTE = 1 << 20, 1 << 30
_LITTLE = (_GIGABYTE, 0.1)
_TOO_LITTLE = (100 * _MEGABYTE, 0.01)
_FEW = (10_000, 0.1)
_TOO_FEW = (1000, 0.01)
"""An amount and a share of the whole: below the smaller of the two there is little left."""


def check_folder(scene: Scene) -> Iterator[Finding]:
    """Find out whose the folder and its files are, who else can read them, and whether the node has its identity."""
    folder = scene.folder
    folder.require_private()
    node = require_node_id(folder)
    if folder.path.stat().st_mode & _OTHERS:
        yield warning(f"all users can look into `{folder.path}`", f"run: chmod o-rwx {folder.path}")
    environments = (folder.client_environment, folder.client_environment_fish)
    for path in (folder.credentials, folder.root_credentials, *environments):
        if path.exists() and path.stat().st_mode & _NOT_OWNER:
            yield warning(f"`{path}` can be read by others", f"run: chmod 600 {path}")
    yield ok(f"`{folder.path}`, node {node}")


def check_secret_files(scene: Scene) -> Iterator[Finding]:
    """Find out whether all users of the machine can read a file with a secret that the settings name."""
    for path in map(Path, secret_files(scene.settings)):
        # One that cannot be used at all is told by `settings`, or by what uses it.
        with suppress(OSError):
            if _is_read_by_all(path):
                yield warning(f"all users can read `{path}`, which has a secret", f"run: chmod o-r {path}")
    yield ok("not all users can read a file with a secret that the settings name")


def secret_files(settings: Settings) -> Iterator[str]:
    """Yield the names of the files with passwords and private keys that the settings name."""
    named = (
        *(settings.store_password_file, settings.pkcs11_pin_file, settings.seal_passphrase_file),
        *(settings.tls_key, settings.xks_tls_key),
        *(each.key for each in settings.xks_proxies),
        *(each.key for each in settings.audit_ship),
        *(name for each in settings.events for name in (each.key, each.secret_file)),
    )
    yield from (name for name in named if name is not None)


def _is_read_by_all(path: Path) -> bool:
    """Tell whether all users can read a file and look into every folder that leads to it; raises OSError."""
    real = path.resolve(strict=True)
    folders = all(each.stat().st_mode & stat.S_IXOTH for each in real.parents)
    return folders and bool(real.stat().st_mode & stat.S_IROTH)


def check_disk(scene: Scene) -> Iterator[Finding]:
    """Find out the free space and the free inodes of the disks of the data folder and of the audit log."""
    folder = scene.folder
    seen = set[int]()
    for path in (folder.path, folder.audit):
        if path.is_dir() and path.stat().st_dev not in seen:
            seen.add(path.stat().st_dev)
            yield from _of_disk(path, os.statvfs(path))


def _of_disk(path: Path, disk: os.statvfs_result) -> Iterator[Finding]:
    if disk.f_flag & os.ST_RDONLY:
        yield critical(f"the file system of `{path}` is mounted to read only", "find out why, and mount it to write")
    free, size = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
    remedy = (
        f"make room on the disk of `{path}`, or move old files of the audit log: strongroom audit archive --to FOLDER"
    )
    text = f"{_shown(free)} of {_shown(size)} are free for `{path}`"
    yield _judged(text, remedy, free, size, _LITTLE, _TOO_LITTLE)
    if disk.f_files:
        # Some file systems make inodes as they are needed, and count none.
        text = f"{disk.f_favail} of {disk.f_files} inodes are free"
        yield _judged(text, f"remove files from the disk of `{path}`", disk.f_favail, disk.f_files, _FEW, _TOO_FEW)


def _judged(
    text: str, remedy: str, free: int, total: int, little: tuple[int, float], too_little: tuple[int, float]
) -> Finding:
    if free < min(too_little[0], too_little[1] * total):
        return critical(text, remedy)
    return warning(text, remedy) if free < min(little[0], little[1] * total) else ok(text)


def _shown(size: int) -> str:
    return f"{size / _GIGABYTE:.1f} GiB" if size >= _GIGABYTE else f"{size / _MEGABYTE:.1f} MiB"
