"""Migrations of ciphertexts in files, between two simulated KMSs."""

import base64
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from typing_extensions import override

from ciphertext_moves import Services, run
from small_kms import SmallKms
from strongroom.aws_clients import AwsError, AwsPlace
from strongroom.reencryption.ciphertexts import Side
from strongroom.reencryption.files import FileItem, Files
from strongroom.reencryption.items import Item, ItemError, PlaceError
from strongroom.reencryption.journal import Journal, files_of_journal
from strongroom.reencryption.migration import Tally


@pytest.fixture
def services() -> Services:
    return Services(SmallKms(), SmallKms())


@pytest.fixture
def folder(tmp_path: Path, services: Services) -> Path:
    """Return a folder with two ciphertexts and a file that is none."""
    (tmp_path / "secrets" / "below").mkdir(parents=True)
    for name in ("a", "below/b"):
        blob = services.old.encrypt(Plaintext=name.encode())["CiphertextBlob"]
        (tmp_path / "secrets" / name).write_bytes(blob)
    (tmp_path / "secrets" / "c").write_bytes(b"no ciphertext")
    return tmp_path / "secrets"


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_files_are_migrated_once(folder: Path, services: Services, tmp_path: Path) -> None:
    (folder / "a").chmod(0o640)
    tally, failures = run(services, Files([folder]), tmp_path / "journal")
    assert tally == Tally(migrated=2, failed=1)
    assert failures == [(str(folder / "c"), "https://old answers InvalidCiphertextException: refused")]
    after = content(folder)
    assert after["c"] == b"no ciphertext"
    for name in ("a", "below/b"):
        assert services.new.decrypt(CiphertextBlob=after[name])["Plaintext"] == name.encode()
    assert (folder / "a").stat().st_mode & 0o777 == 0o640
    calls = services.new.calls
    assert run(services, Files([folder]), tmp_path / "journal")[0] == Tally(before=2, failed=1)
    assert (services.new.calls, content(folder)) == (calls, after)


def test_a_dry_run_replaces_nothing(folder: Path, services: Services) -> None:
    before = content(folder)
    assert run(services, Files([folder]), None)[0] == Tally(migrated=2, failed=1)
    assert content(folder) == before


def test_base64_keeps_the_line_end(services: Services, tmp_path: Path) -> None:
    blob = services.old.encrypt(Plaintext=b"secret", EncryptionContext={"file": str(tmp_path / "x")})["CiphertextBlob"]
    wrapped = base64.b64encode(blob).decode()
    (tmp_path / "x").write_text(f"{wrapped[:20]}\n{wrapped[20:]}\r\n", newline="")
    context = {"file": "{key}"}
    tally, _ = run(services, Files([tmp_path / "x"]), tmp_path / "journal", in_base64=True, context=context)
    assert tally.migrated == 1
    text = (tmp_path / "x").read_bytes()
    assert text.endswith(b"\r\n")
    opened = services.new.decrypt(
        CiphertextBlob=base64.b64decode(text.strip(), validate=True), EncryptionContext={"file": str(tmp_path / "x")}
    )
    assert opened["Plaintext"] == b"secret"


class Stopped(Exception):
    pass


class InterruptedItem:
    """An item whose replacement is interrupted, before or after it has happened."""

    def __init__(self, item: Item, *, after: bool) -> None:
        self._item = item
        self._after = after
        self.key = item.key

    def read(self) -> bytes:
        return self._item.read()

    def replace(self, old: bytes, new: bytes) -> None:
        if self._after:
            self._item.replace(old, new)
        raise Stopped


class InterruptedPlace:
    name = "interrupted"

    def __init__(self, path: Path, *, after: bool) -> None:
        self._item = InterruptedItem(FileItem(path), after=after)

    def items(self) -> Iterator[Item]:
        yield self._item


@pytest.mark.parametrize("after", [False, True], ids=["before it is replaced", "after it was replaced"])
def test_an_interruption(folder: Path, services: Services, tmp_path: Path, *, after: bool) -> None:
    path = folder / "a"
    with pytest.raises(Stopped):
        run(services, InterruptedPlace(path, after=after), tmp_path / "journal")
    tally, _ = run(services, Files([path]), tmp_path / "journal")
    assert tally == (Tally(before=1) if after else Tally(migrated=1))
    assert services.new.decrypt(CiphertextBlob=path.read_bytes())["Plaintext"] == b"a"


def test_a_destination_that_does_not_give_back_what_it_got(folder: Path, services: Services, tmp_path: Path) -> None:
    before = content(folder)
    services.new.forgets_plaintext = True
    tally, failures = run(services, Files([folder / "a"]), tmp_path / "journal")
    assert (tally, content(folder)) == (Tally(failed=1), before)
    assert "does not decrypt its own ciphertext" in failures[0][1]


@pytest.mark.parametrize("code", ["ThrottlingException", "KMSInternalException", "UnrecognizedClientException"])
def test_a_service_that_refuses_everything_ends_the_run(folder: Path, services: Services, code: str) -> None:
    services.new.refuses = code
    with pytest.raises(AwsError, match=f"https://new answers {code}"):
        run(services, Files([folder]), None)


@pytest.mark.parametrize("code", ["NotFoundException", "DisabledException", "AccessDeniedException"])
def test_a_new_key_that_cannot_be_used_ends_the_run(folder: Path, services: Services, code: str) -> None:
    services.new.refuses = code
    with pytest.raises(AwsError, match=f"https://new answers {code}"):
        run(services, Files([folder]), None)
    assert services.new.calls == 1


@pytest.mark.parametrize(
    ("code", "context", "ends"),
    [
        ("ValidationException", {}, False),
        ("AccessDeniedException", {"file": "{key}"}, False),
        ("AccessDeniedException", {"file": "all"}, True),
        ("ExpiredTokenException", {}, True),
    ],
)
def test_refusals_of_the_new_key(code: str, context: dict[str, str], *, ends: bool) -> None:
    assert Side(SmallKms(), AwsPlace(), "alias/new", context).encrypts_for_all(code) is ends


@pytest.mark.parametrize(
    ("code", "key_id", "ends"),
    [
        ("InvalidCiphertextException", "key", False),
        ("NotFoundException", None, False),
        ("NotFoundException", "key", True),
        ("ExpiredTokenException", None, True),
    ],
)
def test_refusals_of_the_old_key(code: str, key_id: str | None, *, ends: bool) -> None:
    assert Side(SmallKms(), AwsPlace(), key_id, {}).decrypts_for_all(code) is ends


def test_what_is_no_ciphertext_file(services: Services, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 20_000)
    (tmp_path / "medium").write_bytes(b"x" * 7_000)
    (tmp_path / "empty").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "large")
    places = [tmp_path / name for name in ("large", "medium", "empty", "pipe", "missing", "link")]
    tally, failures = run(services, Files(places), None)
    assert tally == Tally(failed=6)
    assert [reason for _, reason in failures] == [
        "it has more than 12288 bytes, so it is no ciphertext blob",
        "it has 7000 bytes, and a ciphertext blob has 1 to 6144",
        "it has 0 bytes, and a ciphertext blob has 1 to 6144",
        failures[3][1],
        "it cannot be read: No such file or directory",
        "it is a link, or no regular file: name the file itself",
    ]
    assert [item.key for item in Files([tmp_path]).items()] == [str(tmp_path / n) for n in ("empty", "large", "medium")]


def test_a_file_whose_name_is_not_utf8(services: Services, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"a\xff")
    path.write_bytes(services.old.encrypt(Plaintext=b"secret")["CiphertextBlob"])
    _, failures = run(services, Files([path]), tmp_path / "second", context={"file": "{key}"})
    assert failures == [(str(path), "its name is not UTF-8, so it can be in no encryption context")]
    assert run(services, Files([path]), tmp_path / "journal")[0] == Tally(migrated=1)
    assert run(services, Files([path]), tmp_path / "journal")[0] == Tally(before=1)


def test_a_file_that_is_gone_since_its_folder_was_read(folder: Path) -> None:
    items = Files([folder]).items()
    assert next(items).key == str(folder / "a")
    (folder / "c").unlink()
    assert [item.key for item in items] == [str(folder / "below/b")]


def test_extended_attributes_stay(folder: Path) -> None:
    path = folder / "a"
    try:
        os.setxattr(path, "user.owner", b"team a")
    except OSError:
        pytest.skip("the file system has no extended attributes")
    FileItem(path).replace(path.read_bytes(), b"new")
    assert os.getxattr(path, "user.owner") == b"team a"


def test_links_are_left_alone(folder: Path, services: Services, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(folder / "a")
    before = content(folder)
    assert run(services, Files([link]), tmp_path / "journal")[0] == Tally(failed=1)
    with pytest.raises(ItemError, match="it is a link"):
        FileItem(link).replace(before["a"], b"new")
    assert (link.is_symlink(), content(folder)) == (True, before)


def test_two_runs_do_not_share_a_draft(folder: Path) -> None:
    path = folder / "a"
    old = path.read_bytes()
    drafts: list[Path] = []

    class Second(FileItem):
        """An item of a second run, before whose last look at the file the first one replaces it."""

        @override
        def read(self) -> bytes:
            drafts.extend(folder.glob(".*.strongroom-migrating"))
            FileItem(path).replace(old, b"of the first run")
            return super().read()

    with pytest.raises(ItemError, match="it was changed meanwhile"):
        Second(path).replace(old, b"of the second run")
    assert path.read_bytes() == b"of the first run"
    assert len(drafts) == 1
    assert drafts[0].name not in {each.name for each in folder.iterdir()}
    assert [item.key for item in Files([folder]).items()] == [str(folder / name) for name in ("a", "c", "below/b")]


def test_a_file_that_is_changed_or_has_two_names_stays(folder: Path, services: Services) -> None:
    item = FileItem(folder / "a")
    with pytest.raises(ItemError, match="it was changed meanwhile"):
        item.replace(b"other", b"new")
    os.link(folder / "a", folder / "second")
    with pytest.raises(ItemError, match="several names"):
        item.replace(item.read(), b"new")
    assert services.old.decrypt(CiphertextBlob=(folder / "a").read_bytes())["Plaintext"] == b"a"
    assert sorted(path.name for path in folder.iterdir()) == ["a", "below", "c", "second"]


_SECOND_RUN = """
import sys
from pathlib import Path
from strongroom.reencryption.journal import Journal
Journal(Path(sys.argv[1]), "task")
"""


def test_a_journal_among_the_files_is_none_of_them_and_keeps_its_lock(
    folder: Path, services: Services, tmp_path: Path
) -> None:
    """To read it would end the lock: a process that closes a file loses all its locks on it."""
    (tmp_path / "link").symlink_to(folder, target_is_directory=True)
    path, named = folder / "below" / "journal", tmp_path / "link" / "below" / "journal"
    place = Files([folder, path, folder / "below"], files_of_journal(named))
    for expected in (Tally(migrated=2, before=1, failed=1), Tally(before=3, failed=1)):
        tally, failures = run(services, place, named)
        assert tally == expected
        assert [key for key, _ in failures] == [str(folder / "c")]
    os.link(path, folder / "second-name")
    with Journal(path, "task") as journal:
        journal.begin("a", b"old", b"new")
        assert (folder / "below" / "journal-journal").exists()
        for item in place.items():
            item.read()
        second = subprocess.run([sys.executable, "-c", _SECOND_RUN, path], capture_output=True, text=True, check=False)
    assert "another migration uses it" in second.stderr


def test_journals(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(path, "one task") as journal:
        assert not journal.is_done("a", b"new content")
        journal.begin("a", b"old content", b"new content")
        assert journal.migrated() == 0
        assert journal.is_done("a", b"new content")
        assert not journal.is_done("a", b"old content")
        journal.end("a")
        assert journal.migrated() == 1
        with pytest.raises(PlaceError, match="another migration uses it"):
            Journal(path, "one task")
    with pytest.raises(PlaceError, match="is that of another migration: one task"):
        Journal(path, "another task")
    (tmp_path / "text").write_text("this is no journal, and it is longer than the header of one is" * 20)
    with pytest.raises(PlaceError, match="cannot be used: file is not a database"):
        Journal(tmp_path / "text", "one task")
    with pytest.raises(PlaceError, match="cannot be opened"):
        Journal(tmp_path / "missing" / "journal", "one task")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PlaceError, match="pipe` is not a regular file; name a file"):
        Journal(tmp_path / "pipe", "one task")
    with closing(sqlite3.connect(tmp_path / "application.db")) as database:
        database.execute("CREATE TABLE secret (content BLOB)")
        with pytest.raises(PlaceError, match="is a database of something else; name a new file"):
            Journal(tmp_path / "application.db", "one task")
        assert [name for (name,) in database.execute("SELECT name FROM sqlite_master")] == ["secret"]
    assert b"new content" not in path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0
