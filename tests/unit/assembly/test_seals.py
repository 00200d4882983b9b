"""Changes of the seals of a data folder, and what must not happen in them. Real folders, real key derivation."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from typing_extensions import override

from local_deployment import LocalDeployment, entropy
from strongroom.assembly import unsealing as unsealing_module
from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.assembly.domain_keys import Protection, open_domain_keys
from strongroom.assembly.open_folder import OpenFolder, open_existing
from strongroom.assembly.seal_remnants import finish_change
from strongroom.assembly.seals import Seals
from strongroom.assembly.tokens import ConfiguredToken
from strongroom.assembly.unsealing import Unsealing, document_of, read_document
from strongroom.clock import ManualClock
from strongroom.crypto.seal import SealedDomainKey, UnsealError
from strongroom.crypto.seals.root_key import RootKey, RootKeySeal
from strongroom.settings import Settings

PASSPHRASE, TYPO = "correct horse battery staple", "correct horse battery stapel"
CLOCK = ManualClock(time.time())  # noqa: TID251 - files have the real time


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return the settings of a folder that has two seals: ``file``, and ``safe`` with a passphrase."""
    local = LocalDeployment(tmp_path / "data", CLOCK)
    local.deployment.close()
    with opened(local.settings) as folder:
        folder.seals.add("safe", "passphrase", {}, PASSPHRASE)
    return local.settings


@contextmanager
def opened(settings: Settings, passphrase: str = PASSPHRASE) -> Iterator[OpenFolder]:
    """Open the folder as a command does, for a person who types ``passphrase`` when asked."""
    unsealing = Unsealing(settings, entropy, lambda _: passphrase)
    with closing(open_existing(settings, CLOCK, entropy, unsealing=unsealing)) as folder:
        yield folder


def outcomes(settings: Settings) -> dict[str, str]:
    with opened(settings) as folder:
        return {each.name: each.outcome for each in folder.seals.test(None)}


@pytest.mark.parametrize(
    "change", [lambda seals: seals.rotate(), lambda seals: seals.remove("file")], ids=["rotate", "remove"]
)
def test_a_wrong_passphrase_does_not_become_the_passphrase_of_a_seal(
    settings: Settings, change: Callable[[Seals], object]
) -> None:
    """Another seal has opened, so without a check, a typing error would be the passphrase from then on."""
    with opened(settings, TYPO) as folder, pytest.raises(UnsealError, match="seal 'safe': the passphrase is wrong"):
        change(folder.seals)
    assert outcomes(settings) == {"file": "opens", "safe": "opens"}


def test_two_commands_cannot_remove_the_last_two_seals(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with ExitStack() as stack:
        first, second = stack.enter_context(opened(settings)), stack.enter_context(opened(settings))
        lock = second.folder.changing

        def late_lock(*, wait: bool) -> object:
            # The first command is done before the second one gets the lock, but after it has looked.
            monkeypatch.undo()
            first.seals.remove("file")
            return lock(wait=wait)

        monkeypatch.setattr(second.folder, "changing", late_lock)
        with pytest.raises(DataFolderError, match="'safe' is the only seal"):
            second.seals.remove("safe")
    assert outcomes(settings) == {"safe": "opens"}


def test_a_folder_opens_while_a_rotation_ends(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next document takes the place of the present one between the two readings of a command that opens them."""
    folder = DataFolder(settings.folder)
    monkeypatch.setattr("strongroom.assembly.seal_documents.finish_change", lambda *_: False)
    with opened(settings) as changed:
        changed.seals.rotate()
    assert folder.next_seal.exists()

    def read_and_replace(path: Path) -> object:
        found = read_document(path)
        if folder.next_seal.exists():
            folder.next_seal.replace(folder.seal)
        return found

    monkeypatch.setattr(unsealing_module, "read_document", read_and_replace)
    found = document_of(folder, 2)
    assert found is not None
    assert found.generation == 2


def test_domain_keys_are_read_again_if_the_root_key_is_rotated_meanwhile(settings: Settings) -> None:
    class Slow(Unsealing):
        """Opens the seals only after another command has rotated the root key twice."""

        rotations = 0

        @override
        def seal(self, folder: DataFolder, sealed: Sequence[SealedDomainKey]) -> RootKeySeal:
            if self.rotations < 2:
                self.rotations += 1
                with opened(settings) as other:
                    other.seals.rotate()
            return super().seal(folder, sealed)

    with opened(settings) as folder:
        unsealing = Slow(settings, entropy, lambda _: PASSPHRASE)
        open_domain_keys(folder.folder, folder.store, (), unsealing, entropy, Protection(ConfiguredToken(unsealing)))
        known = unsealing.known()
    assert known is not None
    assert (unsealing.rotations, known.generation) == (2, 3)


def test_a_domain_key_that_another_node_makes_meanwhile_is_not_lost(tmp_path: Path) -> None:
    one = LocalDeployment(tmp_path / "data", CLOCK, ("us-east-1",))
    one.deployment.close()

    class Slow(Unsealing):
        """Opens the seals only after another process has served a new Region."""

        @override
        def seal(self, folder: DataFolder, sealed: Sequence[SealedDomainKey]) -> RootKeySeal:
            other = LocalDeployment(tmp_path / "data", CLOCK)
            other.call("CreateKey", region="eu-west-1")
            other.deployment.close()
            return super().seal(folder, sealed)

    with opened(one.settings) as folder:
        unsealing = Slow(one.settings, entropy)
        protection = Protection(ConfiguredToken(unsealing))
        keys = open_domain_keys(folder.folder, folder.store, ("eu-west-1",), unsealing, entropy, protection)
    assert {scope for scope, _ in keys.versions()} == {"iam", "us-east-1", "eu-west-1"}


def test_the_document_before_a_rotation_is_overwritten(settings: Settings) -> None:
    """What a removed seal could open is not left in blocks that the file system has given free."""
    document = DataFolder(settings.folder).seal
    with document.open("rb") as before:
        assert b"wrapped" in before.read()
        with opened(settings) as folder:
            folder.seals.remove("safe")
        before.seek(0)
        assert set(before.read()) == {0}
    assert [each["name"] for each in json.loads(document.read_text())["entries"]] == ["file"]


def test_a_rotation_that_was_interrupted_after_its_commit_is_ended(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = DataFolder(settings.folder)
    with monkeypatch.context() as patched, opened(settings) as changed:
        patched.setattr("strongroom.assembly.seal_documents.finish_change", lambda *_: False)
        changed.seals.rotate()
    assert folder.next_seal.exists()
    assert outcomes(settings) == {"file": "opens", "safe": "opens"}
    with opened(settings) as changed, changed.store.read() as reader:
        assert finish_change(folder, reader.domain_keys())
        assert not finish_change(folder, reader.domain_keys())
    assert sorted(each.name for each in folder.path.glob("root*")) == ["root-2.key"]
    assert not folder.next_seal.exists()


def test_a_first_rotation_that_was_interrupted_before_its_commit_is_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The root key is in its file alone until then, and the next document is there already."""
    local = LocalDeployment(tmp_path / "data", CLOCK)
    local.deployment.close()
    folder = DataFolder(local.folder)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, opened(local.settings) as changed:
        patched.setattr(Seals, "_reseal", interrupted)
        with pytest.raises(KeyboardInterrupt):
            changed.seals.rotate()
    assert folder.next_seal.exists()
    with opened(local.settings):
        pass
    local.reopen()
    local.deployment.close()
    with opened(local.settings) as changed:
        changed.seals.finish()
    assert not folder.next_seal.exists()
    assert [each.name for each in folder.key_files()] == ["root.key"]


def test_a_key_file_that_a_first_rotation_removes_meanwhile_is_not_missed(tmp_path: Path) -> None:
    local = LocalDeployment(tmp_path / "data", CLOCK)
    local.deployment.close()

    class Slow(Unsealing):
        """Finds no document, and then another command rotates the root key."""

        has_waited = False

        @override
        def open_file(self, folder: DataFolder) -> RootKey:
            if not self.has_waited:
                self.has_waited = True
                with opened(local.settings) as other:
                    other.seals.rotate()
            return super().open_file(folder)

    with opened(local.settings) as folder:
        unsealing = Slow(local.settings, entropy)
        open_domain_keys(folder.folder, folder.store, (), unsealing, entropy, Protection(ConfiguredToken(unsealing)))
    assert unsealing.has_waited


def test_each_generation_of_a_passphrase_has_its_own_salt(settings: Settings) -> None:
    with opened(settings) as folder:
        before = {each.name: each.parameters for each in folder.seals.status().seals}
        folder.seals.rotate()
        after = {each.name: each.parameters for each in folder.seals.status().seals}
    assert before["safe"]["salt"] != after["safe"]["salt"]


def test_a_seal_that_is_not_approved_is_named_and_a_rotation_replaces_it(tmp_path: Path, settings: Settings) -> None:
    approved = Settings(data=str(tmp_path / "data"), regions=settings.regions, fips=True)
    with opened(approved) as folder:
        with pytest.raises(DataFolderError, match=r"seal 'safe' .* argon2id, which is not approved"):
            folder.seals.require_approved()
        folder.seals.rotate()
        folder.seals.require_approved()
    assert outcomes(approved) == {"file": "opens", "safe": "opens"}
