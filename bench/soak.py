"""`make soak MINUTES=10`: all kinds of calls, for any length of time, against a server with two workers.

Several callers use several keys, some of their calls are refused, keys and grants come and go, connections are opened
and closed; every half minute a burst of prepared requests comes on top. It fails when a call ends as it should not,
when the server logs an error or does not stop in order, or when its memory grows after the first fifth of the time.
"""

import argparse
import os
import random  # noqa: TID251 - which call comes next
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import Any

from botocore.exceptions import ClientError
from mypy_boto3_kms import KMSClient
from mypy_boto3_kms.literals import KeySpecType, KeyUsageTypeType

from clients import client_with, credentials_of
from identities import Identities, Person
from kms_calls import CONTEXT, every_call
from load import drive
from local_server import RunningServer, running_server
from measure import machine
from policies import allow
from processes import tree, tree_memory
from servers import Server
from strongroom_server import endpoint
from tables import MEGABYTE

WORKERS = 2
CALLERS = 3
WARM_UP = 0.2
GROWTH = 1.05
SHOWN_EVERY = 30.0
SAMPLED_EVERY = 2.0
BURST = 3
# Keys that are made stay, scheduled for deletion. The server caches so many, and the warm-up has to fill that cache.
CACHED_KEYS = 50

Step = Callable[["Caller"], None]


class Keys:
    """Keys that all callers use."""

    def __init__(self, root: KMSClient) -> None:
        self.symmetric = [_new(root) for _ in range(5)]
        self.rsa = _new(root, "RSA_2048", "SIGN_VERIFY")
        self.elliptic = _new(root, "ECC_NIST_P256", "SIGN_VERIFY")
        self.mac = _new(root, "HMAC_256", "GENERATE_VERIFY_MAC")
        self.disabled = _new(root)
        root.disable_key(KeyId=self.disabled)


class Caller:
    """A user who may use keys and not manage them, beside the root, who manages. Each has a thread of its own."""

    def __init__(self, server: RunningServer, person: Person, keys: Keys, seed: int) -> None:
        self.server = server
        self.person = person
        self.keys = keys
        self.random = random.Random(seed)  # noqa: S311 - no secret
        self.reconnect()

    def reconnect(self) -> None:
        """Call from here on over new connections."""
        self.kms: Any = client_with(self.server, "kms", self.person.credentials)
        self.root: Any = client_with(self.server, "kms", credentials_of(self.server))

    def close(self) -> None:
        self.kms.close()
        self.root.close()

    @property
    def key_id(self) -> str:
        return self.random.choice(self.keys.symmetric)


def encrypts(caller: Caller) -> None:
    plaintext = caller.random.randbytes(caller.random.randint(1, 4096))
    blob = caller.kms.encrypt(KeyId=caller.key_id, Plaintext=plaintext, EncryptionContext=CONTEXT)["CiphertextBlob"]
    assert caller.kms.decrypt(CiphertextBlob=blob, EncryptionContext=CONTEXT)["Plaintext"] == plaintext
    moved = caller.kms.re_encrypt(CiphertextBlob=blob, SourceEncryptionContext=CONTEXT, DestinationKeyId=caller.key_id)[
        "CiphertextBlob"
    ]
    assert caller.kms.decrypt(CiphertextBlob=moved)["Plaintext"] == plaintext
    _refused("InvalidCiphertextException", caller.kms.decrypt, CiphertextBlob=blob)


def makes_data_keys(caller: Caller) -> None:
    made = caller.kms.generate_data_key(KeyId=caller.key_id, KeySpec="AES_256")
    assert caller.kms.decrypt(CiphertextBlob=made["CiphertextBlob"])["Plaintext"] == made["Plaintext"]
    caller.kms.generate_data_key_pair(KeyId=caller.key_id, KeyPairSpec="ECC_NIST_P256")


def signs(caller: Caller) -> None:
    message = caller.random.randbytes(64)
    for key_id, algorithm in (
        (caller.keys.rsa, "RSASSA_PSS_SHA_256"),
        (caller.keys.elliptic, "ECDSA_SHA_256"),
    ):
        call = {"KeyId": key_id, "Message": message, "SigningAlgorithm": algorithm}
        signature = caller.kms.sign(**call)["Signature"]
        assert caller.kms.verify(**call, Signature=signature)["SignatureValid"]
        _refused("KMSInvalidSignatureException", caller.kms.verify, **call | {"Message": b"x"}, Signature=signature)
    call = {"KeyId": caller.keys.mac, "Message": message, "MacAlgorithm": "HMAC_SHA_256"}
    assert caller.kms.verify_mac(**call, Mac=caller.kms.generate_mac(**call)["Mac"])["MacValid"]
    caller.kms.get_public_key(KeyId=caller.keys.rsa)


def is_refused(caller: Caller) -> None:
    _refused("AccessDeniedException", caller.kms.create_key)
    _refused("AccessDeniedException", caller.kms.disable_key, KeyId=caller.key_id)
    _refused("DisabledException", caller.kms.encrypt, KeyId=caller.keys.disabled, Plaintext=b"x")
    _refused("NotFoundException", caller.root.describe_key, KeyId="00000000-0000-4000-8000-000000000000")
    _refused("ValidationException", caller.kms.generate_random, NumberOfBytes=0)


def manages_a_key(caller: Caller) -> None:
    key_id = _new(caller.root)
    alias = f"alias/{key_id}"
    caller.root.create_alias(AliasName=alias, TargetKeyId=key_id)
    blob = caller.root.encrypt(KeyId=alias, Plaintext=b"x")["CiphertextBlob"]
    caller.root.rotate_key_on_demand(KeyId=key_id)
    assert caller.root.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    caller.root.delete_alias(AliasName=alias)
    caller.root.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
    _refused("KMSInvalidStateException", caller.root.encrypt, KeyId=key_id, Plaintext=b"x")
    caller.root.describe_key(KeyId=key_id)


def manages_a_grant(caller: Caller) -> None:
    key_id = caller.key_id
    made = caller.root.create_grant(KeyId=key_id, GranteePrincipal=caller.person.arn, Operations=["DescribeKey"])
    caller.kms.describe_key(KeyId=key_id)
    caller.root.list_grants(KeyId=key_id, GrantId=made["GrantId"])
    caller.root.retire_grant(GrantToken=made["GrantToken"])


def lists(caller: Caller) -> None:
    caller.root.list_keys(Limit=10)
    caller.root.list_aliases(Limit=10)
    caller.root.get_key_policy(KeyId=caller.key_id, PolicyName="default")


def reconnects(caller: Caller) -> None:
    caller.close()
    caller.reconnect()


STEPS: tuple[tuple[Step, int], ...] = (
    (encrypts, 30),
    (makes_data_keys, 10),
    (signs, 10),
    (is_refused, 10),
    (manages_a_key, 2),
    (manages_a_grant, 5),
    (lists, 5),
    (reconnects, 2),
)
"""What callers do, and how often."""


class Soak:
    """A running server, its callers, and their results."""

    def __init__(self, running: RunningServer, seconds: float) -> None:
        self._running = running
        self._end = time.monotonic() + seconds
        self._begun = time.monotonic()
        self._seconds = seconds
        self.done: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.memory: list[tuple[float, int]] = []

    def run(self) -> None:
        """Let all callers call until the time is over, or until something is wrong."""
        root = client_with(self._running, "kms", credentials_of(self._running))
        identities = Identities(self._running, client_with(self._running, "iam", credentials_of(self._running)))
        keys = Keys(root)
        uses = ["kms:*crypt*", "kms:GenerateDataKey*", "kms:GenerateRandom", "kms:GetPublicKey"]
        person = [identities.user(allow(do=[*uses, "kms:*Sign", "kms:Verify*", "kms:*Mac"])) for _ in range(CALLERS)]
        threads = [
            threading.Thread(target=self._call, args=(Caller(self._running, each, keys, seed),))
            for seed, each in enumerate(person)
        ]
        for each in threads:
            each.start()
        try:
            self._watch()
        finally:
            self._end = 0.0
            for each in threads:
                each.join()

    def _call(self, caller: Caller) -> None:
        steps, weights = zip(*STEPS, strict=True)
        while time.monotonic() < self._end and not self.wrong:
            step = caller.random.choices(steps, weights)[0]
            try:
                step(caller)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is reported
                self.wrong.append(f"{step.__name__}: {error!r}")
            self.done[step.__name__] += 1
        caller.close()

    def _watch(self) -> None:
        """Sample the memory, and send a burst from time to time."""
        server, kms = endpoint(self._running)
        bursts = cycle([each for each in every_call(kms) if each.name != "CreateKey"])
        shown = 0.0
        while time.monotonic() < self._end and not self.wrong:
            elapsed = time.monotonic() - self._begun
            self.memory.append((elapsed, tree_memory(server.pid)))
            if elapsed >= shown:
                shown += SHOWN_EVERY
                self._show(server)
                call = next(bursts)
                load = drive(server, call.prepare(), BURST, connections=100)
                self.done[f"burst of {call.name}"] += load.requests
                if load.errors:
                    self.wrong.append(f"burst of {call.name}: {load.errors} errors")
            time.sleep(SAMPLED_EVERY)

    def _show(self, server: Server) -> None:
        elapsed, memory = self.memory[-1]
        files = sum(len(list(Path(f"/proc/{each}/fd").iterdir())) for each in tree(server.pid))
        print(
            f"{elapsed:6.0f} s  {memory / MEGABYTE:7.1f} MB  {sum(self.done.values()):,} done  {files} files",
            flush=True,
        )

    def growth(self) -> float:
        """Return the memory of the last fifth of the time as a multiple of that of the fifth after the warm-up."""
        early = [size for at, size in self.memory if WARM_UP <= at / self._seconds < 2 * WARM_UP]
        late = [size for at, size in self.memory if at / self._seconds >= 1 - WARM_UP]
        return median(late) / median(early)


def _new(kms: KMSClient, spec: KeySpecType = "SYMMETRIC_DEFAULT", usage: KeyUsageTypeType = "ENCRYPT_DECRYPT") -> str:
    return kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["KeyId"]


def _refused(code: str, call: Callable[..., object], **request: object) -> None:
    try:
        call(**request)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error  # noqa: PT017 - not a test
    else:
        raise AssertionError(f"not refused with {code}")


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--minutes", type=float, default=10)
    seconds = options.parse_args().minutes * 60
    print(f"{machine()}; {WORKERS} workers", flush=True)
    os.environ["STRONGROOM_CACHED_KEYS"] = str(CACHED_KEYS)
    with tempfile.TemporaryDirectory(prefix="soak-") as scratch, ExitStack() as stack:
        log = Path(scratch) / "log"
        running = stack.enter_context(running_server(Path(scratch) / "data", log, "--workers", str(WORKERS)))
        soak = Soak(running, seconds)
        soak.run()
        wrong = soak.wrong
        if running.stop() != 0:
            wrong.append("the server did not stop with exit code 0")
        wrong += [line for line in log.read_text().splitlines() if "ERROR" in line or "Traceback" in line]
    for name, count in sorted(soak.done.items()):
        print(f"{count:10,} {name}")
    if not wrong and soak.growth() > GROWTH:
        wrong.append("memory keeps growing")
    if not wrong:
        print(f"memory at the end: {soak.growth():.3f} of what it was after the warm-up")
    # sys.exit takes an empty text as a failure, too.
    sys.exit("\n".join(wrong) or None)


if __name__ == "__main__":
    main()
