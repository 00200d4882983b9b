"""The credentials file: profiles are added, renamed and removed, and all else stays as it is."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from strongroom.assembly.credentials import (
    CredentialsFileError,
    add_profile,
    given_key,
    has_profile,
    is_of_user,
    long_term_keys,
    remove_profile,
    require_editable,
)
from strongroom.crypto.access_keys import NewAccessKey

KEY = NewAccessKey("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG")
# A secret may have brackets.
OTHER = "# mine\n[other]\naws_access_key_id = TESTTESTTESTTEST\naws_secret_access_key = [test]-[test]-test\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "credentials"


def test_a_profile_is_added_and_removed_and_others_stay(path: Path) -> None:
    path.write_text(OTHER)
    add_profile(path, "default", KEY)
    assert path.read_text().startswith(OTHER)
    assert given_key(path, "default") == KEY
    assert path.stat().st_mode & 0o777 == 0o600
    remove_profile(path, "default")
    assert path.read_text() == OTHER
    remove_profile(path, "other")
    assert path.read_text() == "# mine\n"


def test_a_profile_is_replaced_or_kept_under_another_name(path: Path) -> None:
    path.write_text(OTHER)
    add_profile(path, "other", KEY, "before")
    assert long_term_keys(path)["other"] == KEY
    assert long_term_keys(path)["before"].secret == "[test]-[test]-test"
    add_profile(path, "other", KEY, "before")
    assert long_term_keys(path)["before"] == KEY
    add_profile(path, "other", NewAccessKey("AKIANEWNEWNEWNEWNEWN", "new-new-new-new-new"))
    assert set(long_term_keys(path)) == {"other", "before"}


def test_what_is_no_long_term_key_is_left_out(path: Path) -> None:
    assert long_term_keys(path) == {}
    assert not has_profile(path, "default")
    path.write_text("[session]\naws_access_key_id = ASIA\naws_session_token = x\n[role]\nrole_arn = x\n")
    assert long_term_keys(path) == {}
    assert has_profile(path, "role")
    path.write_text("[half\n")
    with pytest.raises(CredentialsFileError) as raised:
        long_term_keys(path)
    assert str(path) in str(raised.value)


def a_link_to_itself(path: Path) -> None:
    path.symlink_to(path)


def a_comment_in_latin_1(path: Path) -> None:
    path.write_bytes(OTHER.encode() + "# clé\n".encode("latin-1"))


USES: list[Callable[[Path], object]] = [
    lambda path: given_key(path, "other"),
    long_term_keys,
    lambda path: has_profile(path, "other"),
    lambda path: is_of_user(path, "other"),
    require_editable,
    lambda path: add_profile(path, "default", KEY),
    lambda path: remove_profile(path, "other"),
]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (Path.mkdir, "cannot be read"),
        (os.mkfifo, "cannot be read: it is not a regular file"),
        (a_link_to_itself, "cannot be read"),
        (a_comment_in_latin_1, "is not in UTF-8: correct line 5"),
    ],
)
def test_what_cannot_be_read_is_not_taken_for_missing(path: Path, make: Callable[[Path], object], reason: str) -> None:
    """A pipe is not waited for, and no new access key is put into the place of one that is there."""
    make(path)
    for use in USES:
        with pytest.raises(CredentialsFileError, match=re.escape(f"`{path}` {reason}")) as refused:
            use(path)
        assert "test" not in str(refused.value).replace(str(path), "")


def test_characters_that_end_a_line_elsewhere_stay_in_a_comment(path: Path) -> None:
    """AWS clients would refuse what comes after them, if it became a line."""
    comment = "# a\u2028b\x0bc\x85d\r\n"
    path.write_bytes((comment + OTHER).encode())
    add_profile(path, "default", KEY)
    remove_profile(path, "other")
    assert path.read_bytes().startswith(comment.encode())
    assert long_term_keys(path) == {"default": KEY}


def test_a_file_that_does_not_exist_has_no_profile(path: Path) -> None:
    assert given_key(path, "default") is None
    assert long_term_keys(path) == {}
    assert not has_profile(path, "default")
