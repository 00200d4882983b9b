"""The file through which owners get their access keys, in the AWS shared-credentials format."""

import configparser
import os
import re
from pathlib import Path

from strongroom.crypto.access_keys import NewAccessKey

_ID = re.compile(r"(?!ASIA)[A-Z0-9]{16,128}")
_SECRET = re.compile(r"[!-~]{16,128}")


class CredentialsFileError(Exception):
    """A credentials file does not have what it should; the message says what and where."""


def given_key(path: Path, profile: str) -> NewAccessKey | None:
    """Return the access key that a profile of a credentials file has; None if there is no file or no such profile.

    Raises CredentialsFileError for a file that cannot be read, and for a profile without a usable long-term key: an id
    of 16 to 128 capital letters and digits, a secret of 16 to 128 visible ASCII characters.
    """
    parser = configparser.RawConfigParser(default_section="")
    try:
        if not parser.read(path, encoding="utf-8") or not parser.has_section(profile):
            return None
    except (configparser.Error, UnicodeDecodeError):
        # The parser's own message repeats lines of the file, secrets among them.
        raise CredentialsFileError(
            f"`{path}` is not a credentials file of AWS: sections such as [default], each once, of lines NAME = VALUE"
        ) from None
    names = parser[profile]
    key = NewAccessKey(names.get("aws_access_key_id", ""), names.get("aws_secret_access_key", ""))
    if not (_ID.fullmatch(key.access_key_id) and _SECRET.fullmatch(key.secret)) or "aws_session_token" in names:
        raise CredentialsFileError(
            f"`{path}` has no usable access key in profile {profile}: aws_access_key_id must have 16 to 128 capital "
            "letters and digits, aws_secret_access_key 16 to 128 characters without spaces, and no session token"
        )
    return key


def add_profile(path: Path, profile: str, key: NewAccessKey) -> None:
    """Add a profile to a credentials file, mode 0600, on disk before this returns; other profiles are kept.

    A profile of the same name is replaced: AWS clients cannot read a file that has two.
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
