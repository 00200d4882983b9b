"""The credentials file: profiles are added, renamed and removed, and all else stays as it is."""

import os
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


def test_a_file_that_cannot_be_read_is_not_one_that_is_missing(path: Path) -> None:
    path.mkdir()
    with pytest.raises(CredentialsFileError, match="cannot be read"):
        given_key(path, "default")
    path.rmdir()
    os.mkfifo(path)
    with pytest.raises(CredentialsFileError, match="is not a regular file"):
        long_term_keys(path)
