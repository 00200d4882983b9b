"""The file through which owners get their access keys, in the AWS shared-credentials format."""

import configparser
import re
from collections.abc import Mapping
from pathlib import Path

from strongroom.crypto.access_keys import NewAccessKey
from strongroom.whole_files import read_regular, replace_file

_ID = re.compile(r"(?!ASIA)[A-Z0-9]{16,128}")
_SECRET = re.compile(r"[!-~]{16,128}")

_USER = "strongroom_user"
"""A member of profiles that AWS clients pass over: the user whose access key it is."""


class CredentialsFileError(Exception):
    """A credentials file does not have what it should; the message says what and where."""


def given_key(path: Path, profile: str) -> NewAccessKey | None:
    """Return the access key that a profile of a credentials file has; None if there is no file or no such profile.

    Raises CredentialsFileError for a file that cannot be read, and for a profile without a usable long-term key: an id
    of 16 to 128 capital letters and digits, a secret of 16 to 128 visible ASCII characters.
    """
    parser = _parsed(path)
    if not parser.has_section(profile):
        return None
    names = parser[profile]
    key = _key_in(names)
    if not (_ID.fullmatch(key.access_key_id) and _SECRET.fullmatch(key.secret)) or "aws_session_token" in names:
        raise CredentialsFileError(
            f"`{path}` has no usable access key in profile {profile}: aws_access_key_id must have 16 to 128 capital "
            "letters and digits, aws_secret_access_key 16 to 128 characters without spaces, and no session token"
        )
    return key


def long_term_keys(path: Path) -> dict[str, NewAccessKey]:
    """Return the access keys of a credentials file by profile; empty if there is no file.

    Profiles without an access key, and those of sessions, are left out. Raises CredentialsFileError for a file that
    cannot be read.
    """
    parser = _parsed(path)
    return {
        profile: _key_in(names)
        for profile, names in parser.items()
        if profile and "aws_access_key_id" in names and "aws_session_token" not in names
    }


def has_profile(path: Path, profile: str) -> bool:
    """Tell whether a credentials file has a profile; raises CredentialsFileError for a file that cannot be read."""
    return _parsed(path).has_section(profile)


def is_of_user(path: Path, profile: str) -> bool:
    """Tell whether a profile was made for a user rather than a root; raises CredentialsFileError."""
    return _parsed(path).has_option(profile, _USER)


def require_editable(path: Path) -> None:
    """Refuse a credentials file to which no profile can be added; raises CredentialsFileError.

    One that does not exist is made. One that AWS clients would refuse, such as with a section twice, can be edited.
    """
    _lines(path)


def add_profile(
    path: Path, profile: str, key: NewAccessKey, keep_as: str | None = None, *, user: str | None = None
) -> None:
    """Add a profile to a credentials file, mode 0600, on disk before this returns; other profiles are kept.

    A profile of the same name is replaced: AWS clients cannot read a file that has two. With ``keep_as`` it is not
    lost, but gets that name. The profile says so if its access key is that of a ``user``. Raises CredentialsFileError
    for a file that cannot be read, OSError for one that cannot be written.
    """
    lines = _lines(path)
    if keep_as is not None:
        lines = _without(lines, keep_as)
        lines = [f"[{keep_as}]" if _header(line) == profile else line for line in lines]
    others = "\n".join(_without(lines, profile)).rstrip("\n")
    added = f"[{profile}]\naws_access_key_id = {key.access_key_id}\naws_secret_access_key = {key.secret}\n"
    added += "" if user is None else f"{_USER} = {user}\n"
    replace_file(path, (f"{others}\n\n{added}" if others else added).encode())


def remove_profile(path: Path, profile: str) -> None:
    """Remove a profile from a credentials file if it is there; other profiles are kept.

    Raises CredentialsFileError for a file that cannot be read, OSError for one that cannot be written.
    """
    lines = _lines(path)
    kept = _without(lines, profile)
    if kept != lines:
        others = "\n".join(kept).rstrip("\n")
        replace_file(path, (f"{others}\n" if others else "").encode())


def _parsed(path: Path) -> configparser.RawConfigParser:
    """Read a credentials file; raises CredentialsFileError. A file that does not exist has no profile."""
    parser = configparser.RawConfigParser(default_section="")
    try:
        # ``RawConfigParser.read`` would take a file that cannot be read for one that does not exist.
        parser.read_string(_text(path))
    except configparser.Error:
        # The parser's own message repeats lines of the file, secrets among them.
        raise CredentialsFileError(
            f"`{path}` is not a credentials file of AWS: sections such as [default], each once, of lines NAME = VALUE"
        ) from None
    return parser


def _key_in(names: Mapping[str, str]) -> NewAccessKey:
    return NewAccessKey(names.get("aws_access_key_id", ""), names.get("aws_secret_access_key", ""))


def _text(path: Path) -> str:
    """Return the content of a credentials file, empty if there is none; raises CredentialsFileError."""
    try:
        content = read_regular(path)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise CredentialsFileError(f"`{path}` cannot be read: {error.strerror}") from None
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        # The error itself shows what is around the byte, which may be a secret.
        line = content.count(b"\n", 0, error.start) + 1
        raise CredentialsFileError(f"`{path}` is not in UTF-8: correct line {line}") from None


def _lines(path: Path) -> list[str]:
    # Unlike ``splitlines``, as AWS clients do: other characters that can end a line may be in a comment.
    return _text(path).split("\n")


def _header(line: str) -> str | None:
    """Return the profile that begins with a line; None for any other line. A value may have brackets, too."""
    found = re.match(r"\[(.+)\]", line)
    return None if found is None else found[1]


def _without(lines: list[str], profile: str) -> list[str]:
    """Return the lines that do not belong to a profile."""
    kept, inside = [], False
    for line in lines:
        header = _header(line)
        inside = header == profile if header is not None else inside
        if not inside:
            kept.append(line)
    return kept
