"""What an operator can get wrong ends a command with one line that names the file or the setting."""

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from accounts import strongroom
from local_deployment import LocalDeployment
from strongroom.clock import ManualClock

COMMANDS = (
    ("serve", "--listen", "127.0.0.1:0", "--workers", "1"),
    ("audit", "verify"),
    ("audit", "public-key"),
    ("audit", "writers"),
    ("account", "create", "111122223333"),
    ("who-can", "kms:Encrypt"),
)

OTHER = 65_534
"""The user id of nobody."""


def damage_with_zeros(database: Path) -> None:
    database.write_bytes(bytes(len(database.read_bytes())))


def cut(database: Path) -> None:
    database.write_bytes(database.read_bytes()[:5000])


def replace_with_folder(database: Path) -> None:
    database.unlink()
    database.mkdir()


@pytest.fixture(scope="module")
def good_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data folder that a server made."""
    data = tmp_path_factory.mktemp("mistakes") / "data"
    LocalDeployment(data, ManualClock(1_790_000_000.0)).deployment.close()
    return data


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("damage", [damage_with_zeros, cut, replace_with_folder])
def test_a_damaged_database_is_named(
    good_folder: Path, tmp_path: Path, damage: Callable[[Path], None], command: tuple[str, ...]
) -> None:
    data = tmp_path / "data"
    shutil.copytree(good_folder, data)
    for path in data.glob("strongroom.db-*"):
        path.unlink()
    damage(data / "strongroom.db")
    assert "strongroom.db" in error_of(data, *command)


@pytest.mark.parametrize("command", [("serve", "--listen", "127.0.0.1:0"), ("who-can", "kms:Encrypt")], ids=" ".join)
@pytest.mark.parametrize("table", ["database_history", "alembic_version"])
def test_a_table_that_was_emptied_is_named(
    good_folder: Path, tmp_path: Path, table: str, command: tuple[str, ...]
) -> None:
    data = tmp_path / "data"
    shutil.copytree(good_folder, data)
    with closing(sqlite3.connect(data / "strongroom.db", isolation_level=None)) as database:
        database.execute(f"DELETE FROM {table}")  # noqa: S608 - the names above
    said = error_of(data, *command)
    assert table in said
    assert "strongroom.db" in said
    assert re.search("put (back the file|the database back) as it was before, or restore a backup", said)
    assert "NoResultFound" not in said


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (
            ("serve", "--listen", "127.0.0.1:99999"),
            "--listen is not valid: it must be HOST:PORT, not `127.0.0.1:99999`; a port is at most",
        ),
        (("serve", "--metrics-listen", "127.0.0.1:65536"), "--metrics-listen is not valid: it must be HOST:PORT"),
        (("serve", "--listen", "127.0.0.1:0", "--tls-cert", "absent.pem", "--tls-key", "key.pem"), "`absent.pem`"),
        (("serve", "--listen", "127.0.0.1:0", "--tls-cert", "pipe", "--tls-key", "pipe"), "it is not a regular file"),
        (("serve", "--listen", "127.0.0.1:0", "--tls-cert", "", "--tls-key", "k"), "--tls-cert is not valid"),
        (("serve", "--config", "pipe"), "`pipe` cannot be used: it is not a regular file"),
        (("audit", "archive", "--to", ""), "a path must not be empty"),
        (("audit", "prune", "", "--older-than", "1"), "a path must not be empty"),
        (("audit", "verify", "--archive", ""), "a path must not be empty"),
        (("audit", "verify", "--public-key", "pipe"), "`pipe` is not a regular file"),
        (("backup", "--to", "", "--unencrypted"), "a path must not be empty"),
        (("backup", "--recipients-file", "/dev/zero"), "`/dev/zero` is not a regular file"),
        (("backup", "--passphrase-file", "/dev/zero"), "`/dev/zero` is too large for what it should hold"),
        (("restore", "pipe"), "`pipe` is not a regular file"),
        (("audit", "search", "--since", "999999999999d"), "neither a time nor a duration"),
        (("audit", "search", "--since", "9" * 400 + "d"), "neither a time nor a duration"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(
    good_folder: Path, tmp_path: Path, options: tuple[str, ...], named: str
) -> None:
    data = tmp_path / "data"
    shutil.copytree(good_folder, data)
    os.mkfifo(tmp_path / "pipe")
    assert named in error_of(data, *options, folder=tmp_path)


@pytest.mark.parametrize("command", ["clock status", "audit verify", "doctor --quick", "service list"])
def test_a_folder_of_another_user_is_said_to_be_closed_not_damaged(good_folder: Path, command: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user; as root, this test runs")
    done = _as_another_user(*command.split(), "--data", str(good_folder))
    words = done.stdout + done.stderr
    assert done.returncode != 0
    assert "Permission denied" in words
    assert "damaged" not in words
    assert "Traceback" not in words


def test_root_makes_nothing_in_the_folder_of_another_user(good_folder: Path, tmp_path: Path) -> None:
    """Its server could not read that. The root key may be elsewhere, so its owner does not tell."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user; as root, this test runs")
    data = tmp_path / "data"
    shutil.copytree(good_folder, data)
    os.chown(data, OTHER, OTHER)
    before = sorted(data.rglob("*"))
    said = error_of(data, "account", "create", "111122223333")
    assert said.startswith(f"Error: `{data}` belongs to user ")
    assert "; run this as user " in said
    assert sorted(data.rglob("*")) == before


@pytest.mark.parametrize("content", [b"\xff\xfe", b"listen = ", b"listen = 1 2"])
def test_a_settings_file_that_is_not_toml_is_named(tmp_path: Path, content: bytes) -> None:
    config = tmp_path / "mine.toml"
    config.write_bytes(content)
    assert f"`{config}` is not valid TOML" in error_of(tmp_path / "data", "serve", "--config", str(config))


def test_what_is_no_folder_is_no_data_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("file", "link"):
        assert f"{name}` is not a folder" in error_of(tmp_path / name, "serve", "--listen", "127.0.0.1:0")


def test_a_folder_that_is_gone_is_not_started_in(tmp_path: Path) -> None:
    command = 'mkdir gone; cd gone; rmdir ../gone; exec "$0" -m strongroom serve --listen 127.0.0.1:0'
    done = subprocess.run(
        ["sh", "-c", command, sys.executable], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("Error: the folder that this was started in does not exist any more")


@pytest.mark.parametrize("command", [("serve", "--workers", "2"), ("doctor", "--json")], ids=" ".join)
def test_a_name_that_is_not_utf_8_is_no_traceback(tmp_path: Path, command: tuple[str, ...]) -> None:
    name = os.fsencode(tmp_path) + b"/\xff"
    done = subprocess.run(
        [sys.executable, "-m", "strongroom", *command, "--data", name], capture_output=True, text=True, check=False
    )
    assert done.returncode in {1, 2}
    assert "--data is not valid: it is not UTF-8" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def _as_another_user(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command without the rights of root, which it gives up when its modules are loaded."""
    program = """if True:
        import os, sys
        from strongroom.cli.main import main
        os.seteuid(65534)
        try:
            main(sys.argv[1:])
        finally:
            # What measures coverage writes its file when the process ends.
            os.seteuid(0)
    """
    return subprocess.run(
        [sys.executable, "-c", program, *command], capture_output=True, text=True, check=False, timeout=60
    )


def error_of(data: Path, *command: str, folder: Path | None = None) -> str:
    """Return the one line that a command fails with, which is started in a folder."""
    done = strongroom(data, *command, folder=folder)
    assert done.returncode in {1, 2}
    assert "Traceback" not in done.stderr
    (line,) = (each for each in done.stderr.splitlines() if each.startswith("Error: "))
    return line


def test_an_authority_of_a_proxy_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    config = tmp_path / "mine.toml"
    config.write_text('[[xks-proxies]]\nhost = "proxy.example.com"\nca = "absent.pem"\n')
    said = error_of(tmp_path / "data", "serve", "--listen", "127.0.0.1:0", "--config", str(config), folder=tmp_path)
    assert f"`{tmp_path}/absent.pem`, the ca of `proxy.example.com` in xks-proxies, cannot be read" in said
