"""What processes meet that have not learned yet, or learn just now, that domain keys were made or destroyed."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from domain_key_scene import REGION, command, decrypt, encrypt, learn, locator, new_key, rotate
from local_deployment import LocalDeployment, entropy
from strongroom.assembly.data_folder import DataFolder
from strongroom.assembly.unsealing import Unsealing
from strongroom.clock import ManualClock
from strongroom.crypto.domain_keys import IAM_SCOPE, DomainKeys, create_domain_key
from strongroom.crypto.seal import SealedDomainKey, UnsealError
from strongroom.crypto.seals.root_key import RootKeySeal
from strongroom.crypto.token_versions import domain_key_version
from strongroom.errors import DependencyTimeoutException, KmsError
from strongroom.snapshot.active_key import binding_of
from strongroom.store.protocol import Transaction
from strongroom.store.retries import WriteConflict
from strongroom.store.scopes import AccountScope


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(time.time())  # noqa: TID251 - files have the real time


@pytest.fixture
def local(tmp_path: Path, clock: ManualClock) -> Iterator[LocalDeployment]:
    """Return a server's deployment, which stays open: it learns of a rotation as a running server does."""
    local = LocalDeployment(tmp_path / "data", clock, domain_key_rotation_days=0)
    yield local
    local.deployment.close()


def test_a_writer_of_the_same_process_does_not_meet_a_version_that_is_not_committed(
    local: LocalDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The keeper makes a version while calls of its process write, and these would join its transaction."""
    store = local.deployment.backends.store
    begun, errors = threading.Event(), []

    def write_as_well() -> None:
        begun.wait()
        try:
            store.write(lambda _: None, AccountScope(""))
        except KmsError as error:
            errors.append(error)

    other = threading.Thread(target=write_as_well)
    other.start()
    # The lock goes to a thread that waits, however long this one has had it.
    monkeypatch.setattr("strongroom.store.sqlite.write_lock._TIME_SLICE", 60.0)
    sealed = create_domain_key(IAM_SCOPE, 2, _seal(local), entropy)

    def add(transaction: Transaction) -> None:
        transaction.add_domain_key(sealed)
        begun.set()
        time.sleep(0.3)

    store.write(add, AccountScope(""))
    other.join()
    assert errors == []


def _seal(local: LocalDeployment) -> RootKeySeal:
    with local.deployment.backends.store.read() as reader:
        return Unsealing(local.settings, entropy).seal(DataFolder(local.folder), reader.domain_keys())


def test_a_version_that_is_given_again_is_another_key(local: LocalDeployment) -> None:
    """After a failover with loss, a process may learn of a lost rotation and of the next one at once."""
    store, seal = local.deployment.backends.store, _seal(local)
    lost, kept = (create_domain_key(REGION, 2, seal, entropy, now) for now in (1.0, 2.0))
    store.write(lambda transaction: transaction.add_domain_key(lost), AccountScope(""))
    encrypt(local, new_key(local))

    def set_back_and_rotate(transaction: Transaction) -> None:
        transaction.remove_domain_key(lost)
        transaction.add_domain_key(kept)

    store.write(set_back_and_rotate, AccountScope(""))
    key_id = new_key(local)
    blob = encrypt(local, key_id)
    local.reopen()
    assert decrypt(local, blob) == "eA=="


def test_what_was_read_before_the_destruction_is_not_taken_for_damaged(local: LocalDeployment) -> None:
    """A process may be stopped in the middle of a read, and another thread of it learns of the destruction first."""
    key_id = new_key(local)
    backends = local.deployment.backends
    with backends.store.read() as reader:
        key = reader.key(locator(local, key_id))
        assert key is not None
        rotate(local)
        with command(local) as opened:
            opened.domain_keys.destroy_old(())
        learn(local)
        assert reader.account(local.settings.account) is not None
        assert reader.key(locator(local, key_id)) == key
    backends.snapshot.active(key).current()
    assert local.deployment.service.readiness.check().problems == []
    token = key.materials[0].token
    assert token is not None
    binding = binding_of(key, key.materials[0].material_id)
    backends.key_backends.of(key).load(token, binding)
    for _ in range(2):
        local.deployment.keeper.run()
    with pytest.raises(UnsealError):
        backends.key_backends.of(key).load(token, binding)


def test_a_version_that_a_process_cannot_open_does_not_make_records_damaged(
    local: LocalDeployment, caplog: pytest.LogCaptureFixture
) -> None:
    """The root key was rotated, and a server that was started before that does not have the new passphrase."""
    key_id = new_key(local)
    backends = local.deployment.backends
    with backends.store.read() as reader:
        key = reader.key(locator(local, key_id))
    assert key is not None
    with command(local) as opened:
        opened.seals.rotate()
    document = DataFolder(local.folder).seal
    with command(local) as opened:
        opened.domain_keys.begin(())
        hidden = document.rename(document.with_name("hidden"))
        for each in opened.domain_keys.status():
            opened.domain_keys.rewrap(each.scope)
        with backends.store.read() as reader:
            with pytest.raises(DependencyTimeoutException):
                reader.account(local.settings.account)
            with pytest.raises(DependencyTimeoutException):
                reader.key(locator(local, key_id))
    (problem,) = local.deployment.service.readiness.check().problems
    assert "the server cannot open the new ones" in str(problem)
    assert caplog.text.count("cannot open") == 1
    hidden.rename(document)
    local.clock.advance(6)
    with backends.store.read() as reader:
        assert reader.account(local.settings.account) is not None
    encrypt(local, key_id)
    assert local.deployment.service.readiness.check().problems == []


def test_the_root_key_may_be_rotated_while_domain_keys_are_read_again(
    local: LocalDeployment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    key_id = new_key(local)
    with command(local) as opened:
        opened.seals.rotate()
        opened.domain_keys.begin(())
    seal, rotations = Unsealing.seal, iter([True])

    def rotated_before(self: Unsealing, folder: DataFolder, sealed: list[SealedDomainKey]) -> RootKeySeal:
        if next(rotations, False):
            with command(local) as opened:
                opened.seals.rotate()
        return seal(self, folder, sealed)

    monkeypatch.setattr(Unsealing, "seal", rotated_before)
    encrypt(local, key_id)
    new_key(local)
    assert next(rotations, None) is None
    assert "cannot open" not in caplog.text


def test_of_two_threads_the_one_with_the_older_state_is_not_the_last(
    local: LocalDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a process would wrap with a domain key that is destroyed soon."""
    backends = local.deployment.backends
    has_read, rotated = threading.Event(), threading.Event()
    update = DomainKeys.update

    def slow(self: DomainKeys, sealed: list[SealedDomainKey], seal: RootKeySeal) -> None:
        # It may be the thread of the call, or the one that reads because a change was noted.
        if not has_read.is_set():
            has_read.set()
            assert rotated.wait(60)
        update(self, sealed, seal)

    with command(local) as opened:
        opened.domain_keys.begin((REGION,))
        first = threading.Thread(target=learn, args=(local,))
        second = threading.Thread(target=local.call, args=("ListKeys",))
        monkeypatch.setattr(DomainKeys, "update", slow)
        first.start()
        assert has_read.wait(60)
        for each in opened.domain_keys.status():
            opened.domain_keys.rewrap(each.scope)
        opened.domain_keys.begin((REGION,))
        second.start()
        second.join(0.3)
        rotated.set()
        first.join()
        second.join()
    new_key(local)
    with backends.store.read() as reader:
        assert reader.count_material_under_older(REGION, 3) == 0


def test_a_destroyed_domain_key_opens_no_tokens_of_clients(local: LocalDeployment) -> None:
    secrets = local.deployment.backends.secrets
    token = secrets.wrap(b"session", b"")
    rotate(local)
    assert secrets.unwrap_token(token, b"") == b"session"
    with command(local) as opened:
        opened.domain_keys.destroy_old(())
    learn(local)
    with pytest.raises(UnsealError):
        secrets.unwrap_token(token, b"")


def test_a_process_that_has_not_learned_of_it_reads_and_writes_rightly(local: LocalDeployment) -> None:
    """Its store reads rows of the new version before its cache has seen the change log."""
    key_id = new_key(local)
    store, backends = local.deployment.backends.store, local.deployment.backends.key_backends
    rotate(local)
    with store.read() as reader:
        key = reader.key(locator(local, key_id))
        assert key is not None
        assert reader.account(local.settings.account) is not None
    material = key.materials[0]
    assert material.token is not None
    assert domain_key_version(material.token) == 2
    backends.of(key).load(material.token, binding_of(key, material.material_id))
    with command(local) as opened:
        opened.domain_keys.begin(())
    described = replace(key, description="new")
    store.write(lambda transaction: transaction.save_key(key, described))
    with store.read() as reader:
        # The code that the write made is of the version that was newest then.
        assert reader.key(locator(local, key_id)) == described
        assert reader.codes_under_older(3) < reader.codes_under_older(4)


def test_what_a_destroyed_domain_key_has_wrapped_is_not_stored(local: LocalDeployment) -> None:
    """A worker that wrapped it may have been stopped between that and its transaction."""
    key_id = new_key(local)
    with local.deployment.backends.store.read() as reader:
        key = reader.key(locator(local, key_id))
    assert key is not None
    old = local.deployment.backends.key_backends.of(key).generate(binding_of(key, key.materials[0].material_id))
    rotate(local)
    with command(local) as opened:
        opened.domain_keys.destroy_old(())
    with local.deployment.backends.store.read() as reader:
        now = reader.key(locator(local, key_id))
    assert now is not None
    after = replace(now, materials=(replace(now.materials[0], token=old),))
    with pytest.raises(WriteConflict):
        local.deployment.backends.store.write(lambda transaction: transaction.save_key(now, after))
    encrypt(local, key_id)


def test_a_thread_wraps_with_the_new_version_while_another_one_reads_it(
    local: LocalDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that has seen the change must not use a version that may be destroyed any moment."""
    secrets = local.deployment.backends.secrets
    with command(local) as opened:
        opened.domain_keys.begin((IAM_SCOPE,))
    reading = threading.Event()
    update = DomainKeys.update

    def slow(self: DomainKeys, sealed: list[SealedDomainKey], seal: RootKeySeal) -> None:
        reading.set()
        time.sleep(0.3)
        update(self, sealed, seal)

    monkeypatch.setattr(DomainKeys, "update", slow)
    secrets.note_change()
    assert reading.wait(60)
    assert domain_key_version(secrets.wrap(b"session", b"")) == 2
