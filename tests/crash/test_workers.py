"""Several workers on one port: no call that begins after a change was answered sees the old state, on any worker."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from botocore.exceptions import ClientError, HTTPClientError

from accounts import succeed
from clients import client_of, client_with, credentials_of
from identities import ACCOUNT_ROOT, Identities, Person
from local_server import RunningServer, running_server
from policies import allow, document
from server_processes import PATIENCE, children_of, is_alive, wait_until

WORKERS = 3
USERS = 9
ROUNDS = 12
USE = ["kms:Encrypt", "kms:DescribeKey"]


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[RunningServer]:
    with running_server(tmp_path / "data", tmp_path / "log", "--workers", str(WORKERS)) as server:
        yield server
        assert server.stop() == 0
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log


class Storm:
    """Clients that use one key all the time, each over a connection of its own, and remember when they began to."""

    def __init__(self, clients: list[Any], key_id: str, log: Path) -> None:
        """``log`` is the server's, which is shown if a client gets no answer."""
        self._key_id = key_id
        self._log = log
        self._unanswered: list[str] = []
        self._ended = threading.Event()
        self._uses: list[tuple[float, bool]] = []
        self._threads = [threading.Thread(target=self._use, args=(client,)) for client in clients]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()
        assert self._unanswered == [], self._log.read_text()

    def _use(self, client: Any) -> None:
        while not self._ended.is_set():
            began = time.monotonic()
            try:
                client.encrypt(KeyId=self._key_id, Plaintext=b"x")
            except ClientError:
                self._uses.append((began, False))
            except HTTPClientError as error:
                self._unanswered.append(f"after {time.monotonic() - began:.3f} s: {error}")
                return
            else:
                self._uses.append((began, True))

    def settle(self, since: float) -> list[bool]:
        """Wait until every client has made some calls since a moment; return how all of them went."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            found = [succeeded for began, succeeded in list(self._uses) if began > since]
            if len(found) >= 3 * len(self._threads):
                return found
            assert self._unanswered == []
            time.sleep(0.005)
        raise AssertionError("the clients do not get on")

    def race(self, forbid: Callable[[], object], permit: Callable[[], object]) -> None:
        """Alternately forbid and permit the use of the key: each holds for every call that begins after the answer."""
        for _ in range(ROUNDS):
            forbid()
            assert not any(self.settle(time.monotonic()))
            permit()
            assert all(self.settle(time.monotonic()))


def clients_of(server: RunningServer, person: Person) -> list[Any]:
    return [client_with(server, "kms", person.credentials) for _ in range(USERS)]


def test_no_worker_is_ever_stale(workers: RunningServer, tmp_path: Path) -> None:
    kms: Any = client_of(workers)
    iam: Any = client_with(workers, "iam", credentials_of(workers))
    identities = Identities(workers, iam)
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    person = identities.user(allow(do=USE))
    key, user = {"KeyId": key_id}, {"UserName": person.name}
    closed = document(allow(ACCOUNT_ROOT, do=["kms:PutKeyPolicy", "kms:*Grant", "kms:*ableKey"]))
    open_ = document(allow(ACCOUNT_ROOT))
    granted: list[str] = []

    def grant() -> None:
        made = kms.create_grant(**key, GranteePrincipal=person.arn, Operations=["Encrypt"])
        granted.append(made["GrantId"])

    def switch(status: str) -> None:
        iam.update_access_key(**user, AccessKeyId=person.access_key_id, Status=status)

    with Storm(clients_of(workers, person), key_id, tmp_path / "log") as storm:
        storm.settle(time.monotonic())
        storm.race(lambda: kms.disable_key(**key), lambda: kms.enable_key(**key))
        storm.race(lambda: switch("Inactive"), lambda: switch("Active"))
        storm.race(lambda: kms.put_key_policy(**key, Policy=closed), lambda: kms.put_key_policy(**key, Policy=open_))
        iam.delete_user_policy(**user, PolicyName="own")
        grant()
        storm.race(lambda: kms.revoke_grant(**key, GrantId=granted[-1]), grant)
    assert "ended with" not in (tmp_path / "log").read_text()


def last_use(client: Any, key_id: str) -> Any:
    return client.get_key_last_usage(KeyId=key_id)["KeyLastUsage"]


def test_every_worker_knows_the_last_use_by_any_of_them_also_after_a_crash(tmp_path: Path) -> None:
    used: dict[str, str] = {}
    for start in range(2):
        # The keeper has no time to write the uses to the database.
        options = ("--workers", str(WORKERS), "--config", str(rare_rounds(tmp_path)))
        with running_server(tmp_path / "data", tmp_path / f"log{start}", *options) as server:
            clients: list[Any] = [client_of(server) for _ in range(USERS)]
            for client in clients:
                for key_id, request_id in used.items():
                    assert last_use(client, key_id)["KmsRequestId"] == request_id
                key_id = client.create_key()["KeyMetadata"]["KeyId"]
                used[key_id] = client.encrypt(KeyId=key_id, Plaintext=b"x")["ResponseMetadata"]["RequestId"]
            server.process.kill()
    # The other workers are not started again. The uses in their chains are written to the database, and their chains
    # end with a checkpoint.
    with running_server(tmp_path / "data", tmp_path / "alone", "--workers", "1") as server:
        kms: Any = client_of(server)
        for key_id, request_id in used.items():
            assert last_use(kms, key_id)["KmsRequestId"] == request_id
        assert server.stop() == 0
    told = succeed(tmp_path / "data", "audit", "verify")
    assert "The log is whole." in told
    assert "no signature covers them yet" not in told
    assert "a crash leaves some" in told


def rare_rounds(folder: Path) -> Path:
    path = folder / "strongroom.toml"
    path.write_text("keeper-interval = 3600\n")
    return path


def test_a_worker_that_dies_is_replaced_and_the_others_go_on(workers: RunningServer, tmp_path: Path) -> None:
    kms = client_of(workers)
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    before = children_of(workers.process.pid)
    assert len(before) == WORKERS
    os.kill(before[1], signal.SIGKILL)
    wait_until(lambda: len(set(children_of(workers.process.pid)) - {before[1]}) == WORKERS)
    wait_until(lambda: "worker 1 ended with -9; starting another" in (tmp_path / "log").read_text())
    for _ in range(2 * USERS):
        assert client_of(workers).encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]


def test_workers_never_outlive_their_supervisor(tmp_path: Path) -> None:
    for number in range(3):
        with running_server(tmp_path / "data", tmp_path / f"log{number}", "--workers", str(WORKERS)) as server:
            workers = children_of(server.process.pid)
            client_of(server).create_key()
            server.process.kill()
            server.process.wait()
        wait_until(lambda gone=workers: not any(map(is_alive, gone)))  # type: ignore[misc]


def test_what_lies_in_the_folder_of_the_start_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "click.py").write_text("raise SystemExit('this is not click')\n")
    monkeypatch.chdir(tmp_path)
    # As the installed command starts it, which does not import from that folder either.
    monkeypatch.setenv("PYTHONSAFEPATH", "")
    with Supervised(tmp_path) as address:
        assert address.startswith("http://127.0.0.1:")


class Supervised:
    """Runs the installed command with two workers; gives its URL."""

    def __init__(self, folder: Path) -> None:
        command = [str(Path(sys.executable).with_name("strongroom")), "serve", "--data", str(folder / "data")]
        self._command = [*command, "--listen", "127.0.0.1:0", "--workers", "2"]

    def __enter__(self) -> str:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        first = self._process.stdout.readline() if self._process.stdout else ""
        return first.rpartition(" ")[2]

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate()


def test_a_port_in_use_is_not_shared(workers: RunningServer, tmp_path: Path) -> None:
    address = workers.endpoint.rpartition("/")[2]
    for number in ("1", "2"):
        with (
            pytest.raises(SystemExit),
            running_server(tmp_path / "other", tmp_path / "log2", "--listen", address, "--workers", number),
        ):
            pass
        assert f"cannot listen on {address}: Address already in use" in (tmp_path / "log2").read_text()


def test_a_quota_is_one_for_all_workers(tmp_path: Path) -> None:
    """Over one connection, which is one worker's, and over many: the account gets the quota, all of it, and no more."""
    config = tmp_path / "strongroom.toml"
    config.write_text('[[request-quotas]]\nrequests = "ListAliases"\nper-second = 20\n')
    options = ("--workers", str(WORKERS), "--config", str(config))
    with running_server(tmp_path / "data", tmp_path / "log", *options) as server:
        for connections in (1, 12):
            time.sleep(1.1)
            clients = [client_of(server) for _ in range(connections)]
            began = time.monotonic()
            allowed = sum(_is_allowed(clients[number % connections]) for number in range(60))
            assert 20 <= allowed <= 21 + 20 * (time.monotonic() - began)
        assert server.stop() == 0


def _is_allowed(client: Any) -> bool:
    try:
        client.list_aliases()
    except client.exceptions.ClientError as error:
        if error.response["Error"]["Code"] != "ThrottlingException":
            raise
        return False
    return True
