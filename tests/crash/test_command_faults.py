"""Commands that meet a full disk, a kill and Ctrl-C in the middle, one after the other: nothing is lost or half made.

Each command is run four times in one folder, and the last time without a fault. Then it is done, and says so. The
writes at which the others fail differ from command to command.
"""

import json
import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from faulty_commands import Ended, Fault, FaultyCommands
from local_deployment import LocalDeployment
from strongroom.clock import SystemClock

ACCOUNT = "111122223333"
HERE = ("--data", "data")
FOREIGN = "arn:aws:kms:us-east-1:999999999999:key/1234abcd-12ab-34cd-56ef-1234567890a"
ADD_SEAL = ("seal", "add", "safe", "passphrase", "--new-passphrase-file", "passphrase", *HERE)
ADD_PROXY = ("xks-proxy", "add", "p", "--account", "000000000000", "--region", "us-east-1", *HERE)
ADD_CREDENTIAL = ("xks-proxy", "credential", "add", "p", *HERE)
BACK_UP = ("backup", "--to", "backups/one", "--unencrypted", *HERE)
ARCHIVE = ("audit", "archive", "--to", "archive", *HERE)
FIRST_SHARE = 0.3
"""Of its changes, the part in which a command only opens the database."""


class Case(NamedTuple):
    """A command, what is run before it, how it says that it is done already, and which data folder it leaves."""

    command: tuple[str, ...]
    before: tuple[tuple[str, ...], ...] = ()
    done: str = "$^"
    data: str = "data"


CASES = (
    Case(("init", "--admin", "--data", "new"), done="initialized before; start the server", data="new"),
    Case(("account", "create", ACCOUNT, *HERE), done="exists already"),
    Case(("account", "root-key", "000000000000", "--replace", *HERE)),
    Case(("key", "reset-policy", "KEY", *HERE)),
    Case(ADD_SEAL, done="there is a seal 'safe' already"),
    Case(("seal", "rotate", *HERE), (ADD_SEAL,)),
    Case(("seal", "remove", "file", *HERE), (ADD_SEAL,), "there is no seal 'file'"),
    Case(("domain-keys", "rotate", *HERE)),
    Case(("domain-keys", "destroy-old", *HERE), (("domain-keys", "rotate", *HERE),)),
    Case(("service", "create", "backup.amazonaws.com", *HERE), done="has an access key"),
    Case(
        ("service", "delete", "backup.amazonaws.com", *HERE),
        (("service", "create", "backup.amazonaws.com", *HERE),),
        "has no access key",
    ),
    Case(("clock", "accept", *HERE)),
    Case(BACK_UP, done="exists already"),
    Case(
        ("restore", "backups/one", "--data", "new", "--root-key", "data/root.key", "--audit", "data"),
        (BACK_UP,),
        "is not empty",
        "new",
    ),
    Case(ARCHIVE),
    Case(("audit", "prune", "archive", "--before", "9999-01-01T00:00:00Z", *HERE), (ARCHIVE,)),
    Case(("import", "aws", "--from", "export.json", "--account", "000000000000", "--report", "report.json", *HERE)),
    Case(ADD_PROXY, done="exists already|there is an XKS proxy"),
    Case(("xks-proxy", "remove", "p", *HERE), (ADD_PROXY,), "there is no XKS proxy"),
    Case(ADD_CREDENTIAL, (ADD_PROXY,), "has two|two credentials"),
    Case(("xks-proxy", "export", "p", "--to", "proxy.json", *HERE), (ADD_PROXY, ADD_CREDENTIAL), "exists already"),
)


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyCommands]:
    with FaultyCommands(tmp_path_factory.mktemp("faults")) as commands:
        yield commands


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a data folder that has several segments, and with files for commands."""
    folder = tmp_path_factory.mktemp("made")
    clock = SystemClock()
    local = LocalDeployment(folder / "data", clock, audit_segment_size=4096)  # type: ignore[arg-type]
    with closing(local.deployment):
        (folder / "key").write_text(local.call("CreateKey")["KeyMetadata"]["Arn"])
        for _ in range(30):
            local.call("ListKeys")
    (folder / "passphrase").write_text("correct horse battery staple\n")
    (folder / "strongroom.toml").write_text(
        'audit-segment-size = 4096\nregions = ["us-east-1", "eu-west-1"]\nseal-passphrase-file = "passphrase"\n'
    )
    (folder / "backups").mkdir()
    exported = {"KeySpec": "SYMMETRIC_DEFAULT", "KeyUsage": "ENCRYPT_DECRYPT", "KeyState": "Enabled"}
    keys = [{"Arn": f"{FOREIGN}{number}", "Aliases": [f"alias/{number}"], **exported} for number in range(2)]
    document = {"StrongroomKeyExport": 1, "Account": "999999999999", "Region": "us-east-1", "Keys": keys}
    (folder / "export.json").write_text(json.dumps(document))
    return folder


@pytest.mark.parametrize("case", CASES, ids=lambda case: " ".join(case.command[:2]))
def test_faults_in_the_middle(case: Case, commands: FaultyCommands, made: Path, tmp_path: Path) -> None:
    command = tuple((made / "key").read_text() if word == "KEY" else word for word in case.command)
    before, folder = tmp_path / "before", tmp_path / "folder"
    shutil.copytree(made, before)
    for each in case.before:
        prepared = commands.run(before, *each)
        assert prepared.code == 0, prepared
    shutil.copytree(before, folder)
    whole, changes = commands.changes_of(before, *command)
    assert whole.code == 0, whole
    number = CASES.index(case)

    full, killed, interrupted = (
        commands.run(folder, *command, fault=fault, at=place_of(number + place, changes))
        for place, fault in enumerate((Fault.FULL, Fault.KILLED, Fault.INTERRUPTED))
    )
    assert full.code in {0, 1}, full
    assert full.code == 0 or full.last_line.startswith("Error: "), full
    assert killed.code in {-signal.SIGKILL, 0, 1} or is_done(killed, case), killed
    assert interrupted.code in {0, 1} or is_done(interrupted, case), interrupted
    again = commands.run(folder, *command)
    for ended in (full, killed, interrupted, again):
        assert "Traceback" not in ended.errors, ended
        assert sum(line.startswith("Error: ") for line in ended.errors.splitlines()) <= 1, ended
    assert is_done(again, case), (full, killed, interrupted, again)
    require_whole(commands, folder, case)


def place_of(number: int, changes: int) -> int:
    """Return one of the changes of a command: others for each number, and none while it opens the database."""
    share = FIRST_SHARE + (1 - FIRST_SHARE) * (number * 0.618 % 1)
    return int(share * changes)


def is_done(ended: Ended, case: Case) -> bool:
    return ended.code == 0 or re.search(case.done, ended.last_line) is not None


def require_whole(commands: FaultyCommands, folder: Path, case: Case) -> None:
    """Require that all is well with the data folder once it is served, and that no draft is left."""
    data = folder / case.data
    passphrase = str(folder / "passphrase")
    LocalDeployment(data, SystemClock(), seal_passphrase_file=passphrase).deployment.close()  # type: ignore[arg-type]
    archives = ("--archive", "archive") if (folder / "archive").exists() else ()
    found = commands.run(folder, "doctor", "--json", *archives, "--data", case.data)
    wrong = [each for each in json.loads(found.output)["checks"] if each["status"] in {"critical", "unknown"}]
    assert not wrong, wrong
    left = [each for each in folder.rglob("*") if each.suffix in {".new", ".next", ".partial"}]
    # A kill may leave the draft of a report or an export, which has a random name, in the operator's folder.
    assert not [each for each in left if each.parent != folder], left
