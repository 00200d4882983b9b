"""The credentials file: profiles are added, renamed and removed, and all else stays as it is."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from strongroom.assembly.credentials import (
    CredentialsFileError,
    add_profile,
    given_key,
    has_profile,
    long_term_keys,
    remove_profile,
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


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, a_link_to_itself])
def test_what_cannot_be_read_is_not_taken_for_missing(path: Path, make: Callable[[Path], object]) -> None:
    """A pipe is not waited for, and no new access key is put into the place of one that is there."""
    make(path)
    with pytest.raises(CredentialsFileError, match="credentials` cannot be read: "):
        given_key(path, "default")
    with pytest.raises(CredentialsFileError, match="credentials` cannot be read: "):
        long_term_keys(path)
    with pytest.raises(CredentialsFileError, match="credentials` cannot be read: "):
        has_profile(path, "default")


def test_a_file_that_does_not_exist_has_no_profile(path: Path) -> None:
    assert given_key(path, "default") is None
    assert long_term_keys(path) == {}
    assert not has_profile(path, "default")
