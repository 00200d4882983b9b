"""Keys in a hardware token, with the AWS CLI and boto3: SoftHSM, set up from nothing, pulled out and put back.

Everything happens in a temporary folder and on a free loopback port; nothing is left behind.
"""

import base64
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from telling import DIM, RED, RESET, code, say, step

from local_server import RunningServer, running_server

AWS = Path(sys.executable).with_name("aws")
STRONGROOM = AWS.with_name("strongroom")
MODULE = "/usr/lib/softhsm/libsofthsm2.so"
LABEL = "strongroom-demo"


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="strongroom-demo-") as scratch:
        folder = Path(scratch)
        set_up(folder)
        with serving(folder) as server:
            demo = Demo(server, folder)
            demo.run()
            require(server.stop() == 0)
        demo.start_without_a_key_file()
        demo.verify()


def set_up(folder: Path) -> None:
    step("A token, set up from nothing")
    tokens = folder / "hsm" / "tokens"
    tokens.mkdir(parents=True, mode=0o700)
    configuration = folder / "hsm" / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {tokens}\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(configuration)
    pin = base64.b64encode(os.urandom(15)).decode()  # noqa: TID251 - an operator, not the service
    pin_file = folder / "hsm" / "pin"
    pin_file.touch(mode=0o600)
    pin_file.write_text(f"{pin}\n")
    code(f"softhsm2-util --init-token --free --label {LABEL} --pin ... --so-pin ...")
    made = ["softhsm2-util", "--init-token", "--free", "--label", LABEL, "--pin", pin, "--so-pin", pin]
    subprocess.run(made, check=True, stdout=subprocess.DEVNULL)
    (folder / "strongroom.toml").write_text(
        f'data = "data"\nkey-protection = "pkcs11-root"\npkcs11-module = "{MODULE}"\n'
        f'pkcs11-token = "{LABEL}"\npkcs11-pin-file = "hsm/pin"\n'
    )
    say("SoftHSM is a token in software, for tests. The settings of the server name its module, its label and its PIN:")
    for line in (folder / "strongroom.toml").read_text().splitlines():
        say(f"{DIM}{line}{RESET}")


def serving(folder: Path) -> Any:  # noqa: ANN401 - a context manager
    """Return a running server of the folder."""
    os.chdir(folder)
    return running_server(folder / "data", folder / "server.log", "--config", "strongroom.toml", "--workers", "1")


class Demo:
    """The story, step by step."""

    def __init__(self, server: RunningServer, folder: Path) -> None:
        self.folder = folder
        self.use(server)
        self.blob = b""

    def use(self, server: RunningServer) -> None:
        self.server = server
        os.environ.update(server.environment)
        self.kms = boto3.client("kms", config=Config(retries={"total_max_attempts": 1}))

    def run(self) -> None:
        self.where_the_keys_are()
        self.use_keys()
        self.steal_the_folder()
        self.pull_the_token_out()
        self.rotate()
        self.seal()

    def where_the_keys_are(self) -> None:
        step("Where the keys are")
        self.strongroom("hsm", "status")
        say(
            "The domain key of the Region was made in the token. It wraps every key of the Region, and never leaves it."
        )

    def use_keys(self) -> None:
        step("Keys, used by the AWS CLI")
        key_id = self.aws("create-key", "--description", "payroll files")["KeyMetadata"]["KeyId"]
        self.aws("create-alias", "--alias-name", "alias/payroll", "--target-key-id", key_id)
        plain = self.folder / "plain"
        plain.write_bytes(b"a secret")
        made = self.aws("encrypt", "--key-id", "alias/payroll", "--plaintext", f"fileb://{plain}")
        self.blob = base64.b64decode(made["CiphertextBlob"])
        (self.folder / "blob").write_bytes(self.blob)
        opened = self.aws("decrypt", "--ciphertext-blob", f"fileb://{self.folder}/blob")
        say(f"It decrypts to: {base64.b64decode(opened['Plaintext']).decode()}")

    def steal_the_folder(self) -> None:
        step("A thief copies the whole data folder with its root key, and does not have the token")
        elsewhere = self.folder / "elsewhere"
        shutil.copytree(self.folder / "data", elsewhere / "data", ignore=shutil.ignore_patterns("metrics"))
        code("strongroom serve --data data")
        command = [str(STRONGROOM), "serve", "--data", "data", "--listen", "127.0.0.1:0"]
        done = subprocess.run(command, cwd=elsewhere, capture_output=True, text=True, timeout=60, check=False)
        require(done.returncode != 0)
        words = done.stderr.splitlines()[-1].replace(str(self.folder), "...")
        print(f"  {RED}refused{RESET}  {DIM}{words}{RESET}")

    def pull_the_token_out(self) -> None:
        step("The token is pulled out while the server runs")
        other = self.kms.create_key()["KeyMetadata"]["KeyId"]
        (self.folder / "hsm" / "tokens").rename(self.folder / "hsm" / "pulled")
        self.refused("a key that was not used yet", other)
        require(self.kms.decrypt(CiphertextBlob=self.blob)["Plaintext"] == b"a secret")
        say("A key that was loaded before still decrypts: in this depth, backing keys are in the memory of the server.")
        say(f"/readyz says: {self.ready()}")
        (self.folder / "hsm" / "pulled").rename(self.folder / "hsm" / "tokens")
        say("It is put back. Nothing is restarted:")
        deadline = time.monotonic() + 30
        while True:
            try:
                self.kms.encrypt(KeyId=other, Plaintext=b"again")
            except ClientError:
                require(time.monotonic() < deadline)
                time.sleep(0.2)
            else:
                break
        code("kms.encrypt(KeyId=other, Plaintext=b'again')")
        say("The same key encrypts.")

    def rotate(self) -> None:
        step("A new domain key in the token; everything is wrapped anew under it")
        self.strongroom("domain-keys", "rotate")
        self.strongroom("domain-keys", "destroy-old")
        require(self.kms.decrypt(CiphertextBlob=self.blob)["Plaintext"] == b"a secret")
        say("The old one is destroyed, in the token too. The ciphertext from before decrypts.")

    def seal(self) -> None:
        step("The root key, too: kept by a key in the token instead of a file")
        self.strongroom("seal", "add", "hsm", "pkcs11")
        self.strongroom("seal", "remove", "file")
        self.strongroom("seal", "rotate")
        self.strongroom("seal", "status")

    def start_without_a_key_file(self) -> None:
        step("A start without any key file")
        require(not list((self.folder / "data").glob("root*")))
        with serving(self.folder) as server:
            self.use(server)
            opened = self.kms.decrypt(CiphertextBlob=self.blob)["Plaintext"]
            say(f"The token opened the root key. The ciphertext decrypts to: {opened.decode()}")
            require(server.stop() == 0)

    def verify(self) -> None:
        step("All of it is in the audit log")
        self.strongroom("audit", "verify")

    def ready(self) -> str:
        with urllib.request.urlopen(f"{self.server.endpoint}/readyz") as answer:  # noqa: S310 - loopback
            return str(answer.read().decode()).strip().replace(str(self.folder), "...")

    def refused(self, what: str, key_id: str) -> None:
        """Encrypt with a key, which must be refused; the demonstration fails if it is not."""
        begun = time.monotonic()
        try:
            self.kms.encrypt(KeyId=key_id, Plaintext=b"x")
        except ClientError as error:
            detail = error.response["Error"]
            took = f"after {time.monotonic() - begun:.2f} s"
            print(f"  {RED}refused{RESET}  {what}: {detail['Code']}{RESET} {DIM}{detail['Message']} ({took}){RESET}")
        else:
            raise SystemExit(f"{what}: this call should have been refused")

    def strongroom(self, *arguments: str) -> None:
        """Run a command of ours, showing it and what it prints."""
        code(f"strongroom {shlex.join(arguments)} --config strongroom.toml")
        command = [str(STRONGROOM), *arguments, "--config", "strongroom.toml"]
        done = subprocess.run(command, cwd=self.folder, check=True, stdout=subprocess.PIPE, text=True)
        for line in done.stdout.replace(str(self.folder), "...").splitlines():
            say(f"{DIM}{line}{RESET}")

    def aws(self, *arguments: str) -> Any:  # noqa: ANN401 - whatever JSON the command prints
        """Run the AWS CLI, showing the command; return its answer."""
        code(f"aws kms {shlex.join(each.replace(f'{self.folder}/', '') for each in arguments)}")
        done = subprocess.run([AWS, "kms", *arguments, "--output", "json"], check=True, stdout=subprocess.PIPE)
        return json.loads(done.stdout) if done.stdout.strip() else {}


def require(outcome: bool) -> None:  # noqa: FBT001 - what has to be true
    """End the demonstration if something is not as it tells."""
    if not outcome:
        raise SystemExit("this should not have happened")


if __name__ == "__main__":
    main()
