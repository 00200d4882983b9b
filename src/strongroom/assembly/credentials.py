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
    known = path.read_text() if path.exists() else ""
    others = re.sub(rf"^\[{re.escape(profile)}\]\n[^\[]*", "", known, flags=re.MULTILINE).rstrip("\n")
    added = f"[{profile}]\naws_access_key_id = {key.access_key_id}\naws_secret_access_key = {key.secret}\n"
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"{others}\n\n{added}" if others else added)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
