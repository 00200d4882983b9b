"""A server that is killed repeatedly under load: no acknowledged write may be lost."""

import itertools
import signal
import threading
import time
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from accounts import succeed
from audits import audit_files, audit_records
from clients import client_of
from local_server import RunningServer, running_server

KILLS = 8
CALLS = 1000
WRITERS = 4


class Acknowledged:
    """What the server has acknowledged."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.aliases: list[tuple[str, str]] = []
        self.blobs: list[tuple[bytes, bytes]] = []
        self.calls = itertools.count()

    def done(self) -> bool:
        return len(self.keys) + len(self.aliases) + len(self.blobs) >= CALLS


def work(server: RunningServer, done: Acknowledged, failures: list[BaseException]) -> None:
    """Create keys, name them, encrypt and rotate, until the server is gone."""
    kms = client_of(server)
    try:
        while True:
            number = next(done.calls)
            key_id = kms.create_key()["KeyMetadata"]["KeyId"]
            done.keys.append(key_id)
            kms.create_alias(AliasName=f"alias/{number}", TargetKeyId=key_id)
            done.aliases.append((f"alias/{number}", key_id))
            for round_number in range(6):
                plaintext = b"%d %d" % (number, round_number)
                blob = kms.encrypt(KeyId=key_id, Plaintext=plaintext)["CiphertextBlob"]
                done.blobs.append((blob, plaintext))
                if round_number % 3 == 2:
                    kms.rotate_key_on_demand(KeyId=key_id)
    except BotoCoreError:
        return  # the connection broke, or could not be made
    except ClientError as error:
        failures.append(error)


def test_every_acknowledged_key_alias_and_ciphertext_survives_kill_9(tmp_path: Path) -> None:
    done, failures = Acknowledged(), list[BaseException]()
    for kill in range(KILLS):
        with running_server(tmp_path / "data", tmp_path / f"log{kill}") as server:
            writers = [threading.Thread(target=work, args=(server, done, failures)) for _ in range(WRITERS)]
            for writer in writers:
                writer.start()
            target = (kill + 1) * CALLS // KILLS
            while len(done.keys) + len(done.aliases) + len(done.blobs) < target and not failures:
                assert any(writer.is_alive() for writer in writers)
                time.sleep(0.001)
            server.process.send_signal(signal.SIGKILL)
            for writer in writers:
                writer.join()
        assert "The log is whole." in succeed(tmp_path / "data", "audit", "verify")
    assert failures == []
    assert done.done()
    with running_server(tmp_path / "data", tmp_path / "log") as server:
        kms = client_of(server)
        listed = {entry["KeyId"] for page in kms.get_paginator("list_keys").paginate() for entry in page["Keys"]}
        assert set(done.keys) <= listed
        for alias, key_id in done.aliases:
            assert kms.describe_key(KeyId=alias)["KeyMetadata"]["KeyId"] == key_id
        for blob, plaintext in done.blobs:
            assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == plaintext
        assert server.stop() == 0
    records = audit_records(tmp_path / "data")
    assert "The log is whole." in succeed(tmp_path / "data", "audit", "verify")
    allowed = [record["eventName"] for record in records if "errorCode" not in record]
    assert allowed.count("CreateKey") >= len(done.keys)
    assert allowed.count("Encrypt") >= len(done.blobs)


def test_sigterm_answers_what_is_in_work_and_loses_nothing(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", tmp_path / "log") as server:
        done, failures = Acknowledged(), list[BaseException]()
        writers = [threading.Thread(target=work, args=(server, done, failures)) for _ in range(WRITERS)]
        for writer in writers:
            writer.start()
        while len(done.blobs) < 50 and not failures:
            assert any(writer.is_alive() for writer in writers)
            time.sleep(0.001)
        assert server.stop() == 0
        for writer in writers:
            writer.join()
    assert failures == []
    assert "Traceback" not in (tmp_path / "log").read_text()
    # Every answer that left has its record; a request that never arrived has neither.
    assert sum(record["eventName"] == "Encrypt" for record in audit_records(tmp_path / "data")) == len(done.blobs)


def test_a_line_that_a_crash_cut_short_does_not_spoil_the_next(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", tmp_path / "log") as server:
        client_of(server).list_keys()
        server.stop()
    (log,) = audit_files(tmp_path / "data")
    log.write_bytes(log.read_bytes()[:-20])
    with running_server(tmp_path / "data", tmp_path / "log") as server:
        client_of(server).list_keys()
        server.stop()
    assert [record["eventName"] for record in audit_records(tmp_path / "data")] == ["ListKeys", "ListKeys"]
