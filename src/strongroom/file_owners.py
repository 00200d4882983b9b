"""Who owns a file, and what an operator can do about a file of another user."""

import os
import pwd
from pathlib import Path

_ROOT = 0


def is_foreign(status: os.stat_result) -> bool:
    """Tell whether a file belongs to neither this process's user nor root, who can change every file anyway."""
    return status.st_uid not in {os.geteuid(), _ROOT}


def owner_of(status: os.stat_result) -> str:
    """Return the owner of a file for people, such as ``user strongroom``."""
    return f"user {user_name(status.st_uid)}"


def remedy(status: os.stat_result, path: Path) -> str:
    """Return what to do about a file of another user."""
    run = f"run this as {owner_of(status)}"
    if os.geteuid() == _ROOT:
        # What root makes in the folder, or takes from its owner, the service of that user could no longer open.
        return run
    return f"{run}, or, if you trust its content, run: chown {user_name(os.geteuid())} {path}"


def user_name(uid: int) -> str:
    """Return the name of a user; the number itself for one without a name, as in containers."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
