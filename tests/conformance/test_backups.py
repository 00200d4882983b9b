"""``strongroom backup`` and ``restore`` as an operator uses them, beside a server at work."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from accounts import data_of, strongroom, succeed
from clients import client_of
from faulty_stores import small_disk
from local_server import RunningServer, running_server
from programs import program


class Scene:
    """A server with a key and a ciphertext, and the files that its operator keeps elsewhere."""

    def __init__(self, server: RunningServer, folder: Path) -> None:
        self.folder = folder
        self.server = server
        self.data = data_of(server)
        self.kms = client_of(server)
        self.key_id = self.kms.create_key()["KeyMetadata"]["KeyId"]
        self.blob = self.kms.encrypt(KeyId=self.key_id, Plaintext=b"secret")["CiphertextBlob"]
        self.root_key = folder / "root.key"
        self.root_key.write_bytes((self.data / "root.key").read_bytes())
        self.root_key.chmod(0o600)
        self.public_key = folder / "audit.pem"
        self.public_key.write_text(succeed(self.data, "audit", "public-key"))
        program("age", "age")
        self.identity = folder / "identity"
        subprocess.run(["age-keygen", "-o", self.identity], check=True, capture_output=True)
        shown = subprocess.run(["age-keygen", "-y", self.identity], check=True, capture_output=True, text=True)
        self.recipient = shown.stdout.strip()
        self.passphrase = folder / "passphrase"
        self.passphrase.write_text("correct horse\n")

    def back_up(self, *options: str) -> Path:
        """Make a backup; return its path, which the command prints first."""
        return Path(succeed(self.data, "backup", *options).splitlines()[0])


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "strongroom", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, stdin=subprocess.DEVNULL)


def line_of(done: subprocess.CompletedProcess[str]) -> str:
    """Return the error of a command that must fail, which is one line."""
    assert done.returncode in {1, 2}, done.stdout
    (line,) = done.stderr.splitlines()
    assert "://" not in line
    return line


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("backed-up")
    with running_server(folder / "data", folder / "log", "--workers", "1") as server:
        yield Scene(server, folder)
        assert server.stop() == 0


def test_a_backup_of_a_server_at_work_is_restored_and_served(scene: Scene, tmp_path: Path) -> None:
    done, stop = list[str](), threading.Event()

    def work() -> None:
        kms = client_of(scene.server)
        while not stop.is_set():
            done.append(kms.create_key()["KeyMetadata"]["KeyId"])

    worker = threading.Thread(target=work)
    worker.start()
    while len(done) < 20:
        stop.wait(0.01)
    acknowledged = list(done)
    made = scene.back_up("--to", str(tmp_path), "--recipient", scene.recipient)
    stop.set()
    worker.join()
    found = run("backup", "verify", made, "--identity", scene.identity, "--root-key", scene.root_key)
    assert found.returncode == 0, found.stderr
    assert "The backup is whole." in found.stdout
    assert "signed by its deployment: verified with the root key" in found.stdout
    options = ("--identity", scene.identity, "--root-key", scene.root_key, "--audit", scene.data)
    restored = run("restore", made, *options, "--data", tmp_path / "new")
    assert restored.returncode == 0, restored.stderr
    assert "strongroom account root-key ID --data" in restored.stdout
    assert "The log is whole." in succeed(tmp_path / "new", "audit", "verify")
    (tmp_path / "new" / "credentials").write_bytes((scene.data / "credentials").read_bytes())
    with running_server(tmp_path / "new", tmp_path / "log", "--workers", "1") as server:
        kms = client_of(server)
        assert kms.decrypt(CiphertextBlob=scene.blob)["Plaintext"] == b"secret"
        for key_id in acknowledged:
            assert kms.describe_key(KeyId=key_id)["KeyMetadata"]["KeyState"] == "Enabled"
        assert server.stop() == 0
    assert "The log is whole." in succeed(tmp_path / "new", "audit", "verify")
    (event,) = succeed(tmp_path / "new", "audit", "search", "--json", "--event", "RestoreBackup").splitlines()
    assert json.loads(event)["serviceEventDetails"]["auditLog"] == "read"


def test_the_file_opens_with_the_program_age(scene: Scene, tmp_path: Path) -> None:
    made = scene.back_up("--to", str(tmp_path), "--recipient", scene.recipient)
    opened = subprocess.run(["age", "-d", "-i", scene.identity, "-o", tmp_path / "plain", made], check=True)
    assert opened.returncode == 0
    assert scene.key_id.encode() not in made.read_bytes()
    # What age has opened can be verified and restored as well.
    assert run("backup", "verify", tmp_path / "plain", "--root-key", scene.root_key).returncode == 0


def test_with_a_passphrase_and_the_domain_keys_nothing_else_is_needed(scene: Scene, tmp_path: Path) -> None:
    options = ("--passphrase-file", str(scene.passphrase), "--with-domain-keys")
    made = scene.back_up("--to", str(tmp_path / "backup"), *options)
    found = run("backup", "verify", made, "--passphrase-file", scene.passphrase)
    assert "wrapped keys and secrets opened" in found.stdout
    restore = ("restore", made, "--passphrase-file", scene.passphrase, "--data", tmp_path / "new")
    assert "or --without-audit-log" in line_of(run(*restore))
    done = run(*restore, "--without-audit-log")
    assert done.returncode == 0, done.stderr
    assert "A new root key was made" in done.stdout
    assert (tmp_path / "new" / "root.key").stat().st_mode & 0o777 == 0o600
    assert "is not empty" in line_of(run(*restore, "--without-audit-log"))


def test_recipients_do_not_show_who_made_a_backup(scene: Scene, tmp_path: Path) -> None:
    made = scene.back_up("--to", str(tmp_path), "--recipient", scene.recipient, "--with-domain-keys")
    found = run("backup", "verify", made, "--identity", scene.identity)
    assert "not checked: who made it" in found.stdout
    restore = ("restore", made, "--identity", scene.identity, "--without-audit-log", "--data", tmp_path / "new")
    assert "nothing shows who made this backup" in line_of(run(*restore))
    assert run(*restore, "--audit-public-key", scene.public_key).returncode == 0


def test_a_backup_without_options_says_how_to_encrypt(scene: Scene, tmp_path: Path) -> None:
    # Without a terminal there is no one to ask for a passphrase.
    done = run("backup", "--to", tmp_path, "--data", scene.data)
    assert "say how to encrypt" in line_of(done)
    assert done.returncode == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--recipient", "me@example.com"), "is not a recipient"),
        (("--unencrypted", "--with-domain-keys"), "must be encrypted"),
        (("--unencrypted", "--passphrase-file", "PASSPHRASE"), "either recipients, or a passphrase"),
        (("--unencrypted", "--to", "DATA"), "is in the data folder"),
        (("--unencrypted", "--to", "/nonexistent/backup"), "is not a folder"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_mistakes_get_one_line(scene: Scene, options: tuple[str, ...], says: str) -> None:
    places = {"PASSPHRASE": str(scene.passphrase), "DATA": str(scene.data)}
    assert says in line_of(run("backup", *(places.get(each, each) for each in options), "--data", scene.data))


def test_files_that_are_no_good_backup_get_one_line(scene: Scene, tmp_path: Path) -> None:
    made = scene.back_up("--to", str(tmp_path / "backup"), "--unencrypted")
    for content, says in (
        (b"", "not a backup"),
        (b"SQLite format 3\x00", "not a backup"),
        (made.read_bytes()[:-100], "not complete|damaged"),
        (b"age-encryption.org/v1\nnonsense", "give the file of one's identity"),
    ):
        (tmp_path / "file").write_bytes(content)
        done = run("backup", "verify", tmp_path / "file")
        line = line_of(done)
        # A file that cannot be decrypted here may be whole.
        assert done.returncode == (2 if content.startswith(b"age") else 1)
        assert any(each in line for each in says.split("|")), line
    encrypted = scene.back_up("--to", str(tmp_path / "other"), "--recipient", scene.recipient)
    assert "--identity" in line_of(run("backup", "verify", encrypted))
    subprocess.run(["age-keygen", "-o", tmp_path / "identity"], check=True, capture_output=True)
    assert "cannot be decrypted" in line_of(run("backup", "verify", encrypted, "--identity", tmp_path / "identity"))
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    assert "is no text file" in line_of(run("backup", "verify", encrypted, "--identity", tmp_path / "bytes"))
    assert "not the root key" not in line_of(run("backup", "verify", made, "--root-key", scene.passphrase))
    assert "--bring-back" in line_of(
        run("restore", made, "--without-audit-log", "--bring-back", "x", "--data", tmp_path / "new")
    )


def test_the_newest_are_kept(scene: Scene, tmp_path: Path) -> None:
    made = [scene.back_up("--to", str(tmp_path), "--unencrypted", "--keep", "2") for _ in range(3)]
    assert sorted(tmp_path.iterdir()) == sorted(made[1:])
    done = strongroom(scene.data, "backup", "--to", str(tmp_path / "file"), "--unencrypted", "--keep", "2")
    assert done.returncode == 2
    assert "--keep needs a folder" in done.stderr
    missing = tmp_path / "missing"
    done = strongroom(scene.data, "backup", "--to", str(missing), "--unencrypted", "--keep", "2")
    assert done.returncode == 2
    assert f"`{missing}` does not exist" in done.stderr
    assert not missing.exists()


@pytest.mark.parametrize("option", ["--identity", "--passphrase-file", "--recipients-file"])
def test_a_file_that_is_no_text_is_named(option: str, scene: Scene, tmp_path: Path) -> None:
    other = tmp_path / "photo"
    other.write_bytes(b"\x89PNG\xff\xfe")
    if option == "--recipients-file":
        done = run("backup", "--data", scene.data, "--to", tmp_path / "b", option, other)
    else:
        how = ("--recipient", scene.recipient)
        if option == "--passphrase-file":
            how = ("--passphrase-file", str(scene.passphrase))
        done = run("backup", "verify", scene.back_up("--to", str(tmp_path / "b"), *how), option, other)
    assert line_of(done) == f"Error: `{other}` is no text file; name another one"


@pytest.mark.parametrize("options", ["size=4k", "size=64k", "size=400k", "size=2m,nr_inodes=4"])
def test_a_restore_on_a_full_disk_names_the_folder_and_leaves_nothing(
    options: str, scene: Scene, tmp_path: Path
) -> None:
    made = scene.back_up("--unencrypted", "--to", str(tmp_path / "made"))
    with small_disk(tmp_path / "disk", options) as disk:
        data = disk / "data"
        given = ("--root-key", scene.data / "root.key", "--audit", scene.data)
        done = run("restore", made, *given, "--data", data)
        assert list(disk.iterdir()) == []
    assert done.returncode == 1
    # What a write to the store meets is logged as well.
    assert done.stderr.splitlines()[-1].startswith(f"Error: `{data}` cannot be restored: ")
    assert "Traceback" not in done.stderr
