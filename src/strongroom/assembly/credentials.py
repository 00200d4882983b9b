"""The file through which owners get their access keys, in the AWS shared-credentials format."""

import os
import re
from pathlib import Path

from strongroom.crypto.access_keys import NewAccessKey


def add_profile(path: Path, profile: str, key: NewAccessKey) -> None:
    """Add a profile to a credentials file, mode 0600, on disk before this returns; other profiles are kept.

    A profile of the same name, left by an attempt that failed before it reached the database, is replaced: AWS clients
    cannot read a file that has two.
    """
    others = _others(path, profile)
    added = f"[{profile}]\naws_access_key_id = {key.access_key_id}\naws_secret_access_key = {key.secret}\n"
    _write(path, f"{others}\n\n{added}" if others else added)


def remove_profile(path: Path, profile: str) -> None:
    """Remove a profile from a credentials file if it is there; other profiles are kept."""
    if path.exists():
        others = _others(path, profile)
        _write(path, f"{others}\n" if others else "")


def _others(path: Path, profile: str) -> str:
    """Return the other profiles of a file."""
    known = path.read_text() if path.exists() else ""
    return re.sub(rf"^\[{re.escape(profile)}\]\n[^\[]*", "", known, flags=re.MULTILINE).rstrip("\n")


def _write(path: Path, text: str) -> None:
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
