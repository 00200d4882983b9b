"""A command that has opened the database before a move changes nothing afterwards."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from command_tree import commands
from local_deployment import LocalDeployment, entropy
from strongroom.assembly.data_folder import DataFolder
from strongroom.assembly.open_folder import OpenFolder, open_existing
from strongroom.assembly.relocation.mark import MoveMark, MoveState, write_mark
from strongroom.assembly.xks_proxies import xks_proxies_of
from strongroom.cli.main import main
from strongroom.clock import ManualClock
from strongroom.key_exports import document
from strongroom.key_exports.document import ExportedKey, KeyExport
from strongroom.keys.specs import KeySpec, KeyUsage, Origin
from strongroom.keys.states import KeyState
from strongroom.store.sqlite.store import SqlStore
from strongroom.xks_proxy.registry import Usage

NOW = 1_790_000_000.0
SOURCE = "arn:aws:kms:us-east-1:000000000000:key/12345678-1234-1234-1234-123456789012"

CHANGING = {
    "account create": ("111122223333",),
    "account root-key": ("000000000000",),
    "audit archive": ("--to", "ARCHIVE", "--older-than", "0"),
    "audit prune": ("ARCHIVE", "--older-than", "0"),
    "audit retire": ("0123456789ab",),
    "backup": ("--to", "ARCHIVE", "--unencrypted"),
    "clock accept": (),
    "domain-keys destroy-old": (),
    "domain-keys rotate": (),
    "identity-provider keys set": ("https://issuer.example.com", "JWKS"),
    "import aws": ("--from", "EXPORT"),
    "key reset-policy": ("KEY",),
    "seal add": ("safe", "passphrase", "--new-passphrase-file", "PASSPHRASE"),
    "seal remove": ("spare",),
    "seal rotate": (),
    "service create": ("new.amazonaws.com",),
    "service delete": ("old.amazonaws.com",),
    "xks-proxy add": ("new", "--account", "000000000000", "--region", "us-east-1"),
    "xks-proxy credential add": ("old",),
    "xks-proxy credential remove": ("old", "CREDENTIAL"),
    "xks-proxy export": ("old",),
    "xks-proxy key add": ("old", "another", "KEY"),
    "xks-proxy key remove": ("old", "outside"),
    "xks-proxy remove": ("old",),
}
"""Commands that change something in a data folder that another process may have open, with their arguments."""

IDLE = {"audit archive", "audit prune", "audit retire", "domain-keys destroy-old", "identity-provider keys set"}
"""Those that find nothing to change in the folder of this test."""

READING = {
    *("account list", "audit public-key", "audit search", "audit shipping", "audit verify", "audit writers"),
    *("clock status", "doctor", "domain-keys status", "explain", "hsm status", "keys", "nodes", "seal status"),
    *("seal test", "service list", "who-can", "xks-proxy credential list", "xks-proxy key list", "xks-proxy list"),
}

OTHERS = {
    "audit fetch": "it does not open the database",
    "backup verify": "it does not open the database",
    "completion": "it has no data folder",
    "config check": "it does not open the database",
    "config show": "it does not open the database",
    "database accept-older": "it has the lock of a server; tests/contract/test_moves_between_databases.py",
    "database migrate": "it is for PostgreSQL, which refuses what comes after a move",
    "dev": "it has the lock of a server when it opens the database",
    "events status": "it does not open the database",
    "events test": "it does not open the database",
    "hsm destroy": "it needs a token; it locks as `domain-keys destroy-old` does",
    "init": "it has the lock of a server when it opens the database",
    "migrate": "it looks for another move once it has all locks",
    "migrate-ciphertexts": "it has no data folder",
    "ready": "it does not open the database",
    "restore": "it makes a data folder",
    "serve": "it has the lock of a server when it opens the database",
    "xks-proxy serve": "it has the lock of XKS proxies when it opens the database",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """Return a data folder, the ARN of a key in it, and the access key id of a credential for an XKS proxy."""
    folder = tmp_path_factory.mktemp("made") / "data"
    local = LocalDeployment(folder, ManualClock(NOW))
    key = local.call("CreateKey")["KeyMetadata"]["Arn"]
    local.deployment.close()
    with closing(open_existing(local.settings, local.clock, entropy)) as opened:
        opened.seals.add("spare", "passphrase", {}, "correct horse battery")
        opened.registrar.create_service("old.amazonaws.com")
        proxies = xks_proxies_of(opened, local.clock)
        proxies.add("old", "000000000000", "us-east-1", "us-east-1")
        credential = proxies.add_credential("old")
        proxies.add_key("old", "outside", key, (Usage.ENCRYPT,))
    return folder, key, credential


class Scene:
    """A data folder, with what the commands need, and a command that is overtaken by a move."""

    def __init__(self, folder: Path, made: Path, key: str, credential: str) -> None:
        self.data = folder / "data"
        shutil.copytree(made, self.data)
        (folder / "passphrase").write_text("correct horse battery staple\n")
        (folder / "jwks").write_text(json.dumps({"keys": [{"kty": "EC", "kid": "a", "crv": "P-256", "x": X, "y": Y}]}))
        (folder / "export").write_bytes(document.encode(exported()))
        self._files = {
            "KEY": key,
            "CREDENTIAL": credential,
            "ARCHIVE": str(folder / "archive"),
            "EXPORT": str(folder / "export"),
            "PASSPHRASE": str(folder / "passphrase"),
            "JWKS": str(folder / "jwks"),
        }
        (folder / "archive").mkdir()

    def run(self, name: str) -> click.testing.Result:
        arguments = [self._files.get(each, each) for each in CHANGING[name]]
        return CliRunner().invoke(main, [*name.split(), *arguments, "--data", str(self.data)])

    def state(self) -> dict[str, object]:
        """Return what is in the data folder, and beside it."""
        files = {
            str(path): path.read_bytes()
            for path in self.data.parent.rglob("*")
            if path.is_file() and not path.name.startswith(("strongroom.db", "moved"))
        }
        with closing(sqlite3.connect(self.data / "strongroom.db")) as database:
            return {**files, "rows": list(database.iterdump())}


X = "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4"
Y = "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"
"""Of the example key in RFC 7517, appendix A.1."""


def exported() -> KeyExport:
    key = ExportedKey(
        arn=SOURCE,
        key_spec=KeySpec.SYMMETRIC_DEFAULT,
        key_usage=KeyUsage.ENCRYPT_DECRYPT,
        origin=Origin.AWS_KMS,
        key_state=KeyState.ENABLED,
    )
    return KeyExport(account="000000000000", region="us-east-1", keys=(key,))


def moved_away(folder: DataFolder) -> None:
    write_mark(folder, MoveMark(MoveState.LEFT, "the database `db/strongroom`", "0" * 16))


def moving_away(folder: DataFolder) -> None:
    write_mark(folder, MoveMark(MoveState.LEAVING, "the database `db/strongroom`", "0" * 16))


def moved_back(folder: DataFolder) -> None:
    """Put another database in the place of the one that a command has open."""
    other = folder.path / "moving.db"
    shutil.copyfile(folder.database, other)
    other.rename(folder.database)


MOVES: dict[Callable[[DataFolder], None], str] = {
    moved_away: "has moved to the database `db/strongroom`",
    moving_away: "was interrupted; run the same `strongroom migrate` again",
    moved_back: "another database was put in the place of",
}


@pytest.fixture
def scene(tmp_path: Path, made: tuple[Path, str, str]) -> Scene:
    return Scene(tmp_path, *made)


@pytest.mark.parametrize(
    ("name", "move"),
    [*((name, moved_away) for name in CHANGING), *(("import aws", move) for move in MOVES if move is not moved_away)],
)
def test_a_command_that_was_open_before_a_move_changes_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, name: str, move: Callable[[DataFolder], None]
) -> None:
    before: list[dict[str, object]] = []

    def open_and_move(*arguments: Any, **more: Any) -> OpenFolder:
        opened = open_existing(*arguments, **more)
        move(opened.folder)
        before.append(scene.state())
        return opened

    monkeypatch.setattr("strongroom.cli.data_folder.open_existing", open_and_move)
    monkeypatch.setattr("strongroom.cli.data_folder.harden_process", lambda: None)
    done = scene.run(name)
    assert (done.exit_code, len(before)) == (1, 1), done.output
    assert MOVES[move] in done.output
    assert scene.state() == before[0]


@pytest.mark.parametrize("name", CHANGING)
def test_a_command_writes_only_while_no_move_can_begin(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A move looks whether a command has the lock, and waits for none."""
    written: list[bool] = []
    write = SqlStore.write

    def observed(store: SqlStore, *arguments: Any) -> object:
        with DataFolder(scene.data).changing(wait=False) as alone:
            written.append(not alone)
        return write(store, *arguments)

    monkeypatch.setattr(SqlStore, "write", observed)
    monkeypatch.setattr("strongroom.cli.data_folder.harden_process", lambda: None)
    done = scene.run(name)
    assert done.exception is None or isinstance(done.exception, SystemExit)
    assert bool(written) == (name not in IDLE), done.output
    assert all(written)


def test_each_command_is_here() -> None:
    assert {*CHANGING} | READING | {*OTHERS} == dict(commands()).keys()
