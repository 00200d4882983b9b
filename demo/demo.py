"""Envelope encryption, rotation and the audit trail, with real AWS clients and a real file.

Everything happens in a temporary folder and on a free loopback port; nothing is left behind.
"""

import base64
import hashlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from telling import DIM, RED, RESET, code, say, show, step

from local_server import RunningServer, running_server

CONTEXT = {"department": "payroll", "year": "2026"}
AWS = Path(sys.executable).with_name("aws")
STRONGROOM = AWS.with_name("strongroom")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="strongroom-demo-") as scratch:
        folder = Path(scratch)
        # One worker, so one chain: times are in seconds, which do not order the records of several within a second.
        with running_server(folder / "data", folder / "server.log", "--workers", "1") as server:
            demo = Demo(server, folder)
            demo.run()
            exit_code = server.stop()
        step("Stop")
        say(f"SIGTERM: the server finished the calls in progress and exited with {exit_code}.")
        demo.verify()
    sys.exit(exit_code)


class Demo:
    """The story, step by step."""

    def __init__(self, server: RunningServer, folder: Path) -> None:
        self.server = server
        self.folder = folder
        os.environ.update(server.environment)
        self.kms = boto3.client("kms", config=Config(retries={"total_max_attempts": 1}))

    def run(self) -> None:
        step("A server, started for this demonstration")
        say(f"It listens at {self.server.endpoint}; the file env.sh that it wrote points the AWS CLI and boto3 there.")
        say("Commands are behind $, Python is behind >>>.")
        key_id = self.create_key()
        sealed = self.envelope_encrypt()
        self.rotate(key_id)
        self.open_again(sealed)
        self.hand_over()
        self.refusals(key_id)
        self.audit_trail()

    def create_key(self) -> str:
        step("Create a key and an alias for it")
        created = self.aws("create-key", "--description", "payroll files")
        key_id: str = created["KeyMetadata"]["KeyId"]
        self.aws("create-alias", "--alias-name", "alias/payroll", "--target-key-id", key_id)
        say(f"The key material never leaves the server. The key's ARN is {created['KeyMetadata']['Arn']}")
        return key_id

    def envelope_encrypt(self) -> bytes:
        step("Envelope-encrypt a file with a data key")
        plain = self.folder / "payroll.csv"
        plain.write_text("employee,salary\n" + "".join(f"person {n},{50_000 + n * 7}\n" for n in range(20_000)))
        say(f"payroll.csv: {plain.stat().st_size:,} bytes, SHA-256 {digest(plain.read_bytes())}")
        code("kms.generate_data_key(KeyId='alias/payroll', KeySpec='AES_256', EncryptionContext=CONTEXT)")
        data_key = self.kms.generate_data_key(KeyId="alias/payroll", KeySpec="AES_256", EncryptionContext=CONTEXT)
        nonce = os.urandom(12)  # noqa: TID251 - a client, not the service
        sealed = nonce + AESGCM(data_key["Plaintext"]).encrypt(nonce, plain.read_bytes(), None)
        (self.folder / "payroll.csv.sealed").write_bytes(sealed)
        (self.folder / "payroll.csv.key").write_bytes(data_key["CiphertextBlob"])
        plain.unlink()
        say(f"payroll.csv.sealed: {len(sealed):,} bytes, encrypted here; the plaintext data key is dropped.")
        say(f"payroll.csv.key: {len(data_key['CiphertextBlob'])} bytes, the data key, encrypted under the KMS key.")
        return sealed

    def rotate(self, key_id: str) -> None:
        step("Rotate the key")
        self.aws("rotate-key-on-demand", "--key-id", key_id)
        rotations = self.aws("list-key-rotations", "--key-id", key_id, "--include-key-material", "ALL_KEY_MATERIAL")
        for entry in rotations["Rotations"]:
            say(f"key material {entry['KeyMaterialId'][:12]}...  {entry['KeyMaterialState']}")
        say("New work uses the new backing key; the old one stays, for decryption only.")

    def open_again(self, sealed: bytes) -> None:
        step("Decrypt: the blob names the KMS key, and the backing key it was made with")
        context = ",".join(f"{key}={value}" for key, value in CONTEXT.items())
        blob = self.folder / "payroll.csv.key"
        opened = self.aws("decrypt", "--ciphertext-blob", f"fileb://{blob}", "--encryption-context", context)
        data_key = base64.b64decode(opened["Plaintext"])
        plain = AESGCM(data_key).decrypt(sealed[:12], sealed[12:], None)
        say(f"payroll.csv: {len(plain):,} bytes, SHA-256 {digest(plain)}: the file we started with.")

    def hand_over(self) -> None:
        step("Re-encrypt the data key under another KMS key; its plaintext stays in the server")
        self.aws(
            "create-alias",
            "--alias-name",
            "alias/archive",
            "--target-key-id",
            self.aws("create-key", "--description", "the archive")["KeyMetadata"]["KeyId"],
        )
        blob = (self.folder / "payroll.csv.key").read_bytes()
        code("kms.re_encrypt(CiphertextBlob=..., DestinationKeyId='alias/archive', ...)")
        moved = self.kms.re_encrypt(
            CiphertextBlob=blob,
            SourceEncryptionContext=CONTEXT,
            DestinationKeyId="alias/archive",
            DestinationEncryptionContext=CONTEXT,
        )
        say(f"from {moved['SourceKeyId']}")
        say(f"to   {moved['KeyId']}")
        say("The file itself did not change.")

    def refusals(self, key_id: str) -> None:
        step("Calls that are refused, and why")
        blob = (self.folder / "payroll.csv.key").read_bytes()
        self.refused(
            "another encryption context",
            lambda: self.kms.decrypt(CiphertextBlob=blob, EncryptionContext={"year": "1999"}),
        )
        altered = blob[:-1] + bytes((blob[-1] ^ 1,))
        self.refused("one bit changed", lambda: self.kms.decrypt(CiphertextBlob=altered, EncryptionContext=CONTEXT))
        self.refused("4,097 bytes", lambda: self.kms.encrypt(KeyId=key_id, Plaintext=bytes(4097)))
        self.kms.disable_key(KeyId=key_id)
        self.refused("a disabled key", lambda: self.kms.decrypt(CiphertextBlob=blob, EncryptionContext=CONTEXT))
        forger = boto3.client("kms", aws_access_key_id="AKIAFORGED", aws_secret_access_key="forged")  # noqa: S106 - not a secret
        self.refused("an unknown access key", forger.list_keys)
        self.kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
        self.refused("a key pending deletion", lambda: self.kms.enable_key(KeyId=key_id))
        say("The key is not deleted yet: for seven days, cancel-key-deletion brings it back.")

    def refused(self, what: str, call: Callable[[], object]) -> None:
        """Make a call that must be refused; the demonstration fails if it is not."""
        try:
            call()
        except ClientError as error:
            detail = error.response["Error"]
            words = f"{detail['Code']}{RESET} {DIM}{detail.get('Message', '')}".rstrip()
            print(f"  {RED}refused{RESET}  {what}: {words}{RESET}")
        else:
            raise SystemExit(f"{what}: this call should have been refused")

    def audit_trail(self) -> None:
        step("The audit trail: one record a call, allowed or refused, written before the answer left")
        code("strongroom audit search --data data --json")
        records = self.records()
        for record in records:
            outcome = record.get("errorCode", "allowed")
            keys = ", ".join(resource["ARN"].rpartition(":")[2][:20] for resource in record["resources"])
            print(f"  {record['eventTime']}  {record['eventName']:<22} {outcome:<28} {keys}".rstrip())
        say(f"That is a part of each of the {len(records)} records, CloudTrail events in JSON; the last one has:")
        show({name: records[-1][name] for name in ("userIdentity", "eventName", "errorCode", "chain")})

    def verify(self) -> None:
        step("The audit log, verified")
        say(
            "Every line continues a chain of hashes. The end of the chain is signed every few seconds, and at the stop:"
        )
        code("strongroom audit verify --data data")
        subprocess.run([STRONGROOM, "audit", "verify", "--data", "data"], check=True, cwd=self.folder)

    def records(self) -> list[dict[str, Any]]:
        """Return the records that ``strongroom audit search`` finds."""
        command = (STRONGROOM, "audit", "search", "--data", "data", "--json")
        found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=self.folder)
        return [json.loads(line) for line in found.stdout.splitlines()]

    def aws(self, *arguments: str) -> Any:  # noqa: ANN401 - whatever JSON the command prints
        """Run the AWS CLI, showing the command; return its answer."""
        shown = shlex.join(argument.replace(f"{self.folder}/", "") for argument in arguments)
        code(f"aws kms {shown}")
        done = subprocess.run([AWS, "kms", *arguments, "--output", "json"], check=True, stdout=subprocess.PIPE)
        return json.loads(done.stdout) if done.stdout.strip() else {}


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16] + "..."


if __name__ == "__main__":
    main()
