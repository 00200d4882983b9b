"""Keys in a hardware token, with the AWS CLI and boto3: SoftHSM, set up from nothing, pulled out and put back.

First the domain keys are in the token (root depth), then every key moves there (full depth).

Everything happens in a temporary folder and on a free loopback port; nothing is left behind.
"""

import base64
import hmac
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import load_der_public_key
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
        demo.ask_for_full_depth()
        with serving(folder) as server:
            demo.use(server)
            demo.use_the_token_alone()
            require(server.stop() == 0)
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
        # Not the settings, which lead to the token.
        variables = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        done = subprocess.run(
            command, cwd=elsewhere, env=variables, capture_output=True, text=True, timeout=60, check=False
        )
        require(done.returncode != 0)
        words = done.stderr.splitlines()[-1].replace(str(self.folder), "...")
        print(f"  {RED}refused{RESET}  {DIM}{words}{RESET}")

    def pull_the_token_out(self) -> None:
        step("The token is pulled out while the server runs")
        other = self.kms.create_key()["KeyMetadata"]["KeyId"]
        self.pull_out()
        self.refused("a key that was not used yet", lambda: self.kms.encrypt(KeyId=other, Plaintext=b"x"))
        require(self.kms.decrypt(CiphertextBlob=self.blob)["Plaintext"] == b"a secret")
        say("A key that was loaded before still decrypts: in this depth, backing keys are in the memory of the server.")
        say(f"/readyz says: {self.ready()}")
        self.put_back()
        say("It is put back. Nothing is restarted:")
        self.until_it_works(lambda: self.kms.encrypt(KeyId=other, Plaintext=b"again"))
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

    def ask_for_full_depth(self) -> None:
        step("Full depth: no key is used outside of the token any more")
        settings = self.folder / "strongroom.toml"
        settings.write_text(settings.read_text().replace("pkcs11-root", "pkcs11-full"))
        say(f'{DIM}key-protection = "pkcs11-full"{RESET}')

    def use_the_token_alone(self) -> None:
        self.move()
        self.sign()
        self.import_known_material()

    def move(self) -> None:
        say("The server was started again with it. A rotation of the domain keys moves all keys:")
        self.strongroom("domain-keys", "rotate")
        self.strongroom("domain-keys", "destroy-old")
        opened = self.aws("decrypt", "--ciphertext-blob", f"fileb://{self.folder}/blob")
        require(base64.b64decode(opened["Plaintext"]) == b"a secret")
        say("The ciphertext from before decrypts: the token has computed its key.")

    def sign(self) -> None:
        step("A key that was made in the token, used by the AWS CLI")
        pair = ("--key-spec", "ECC_NIST_P256", "--key-usage", "SIGN_VERIFY")
        key_id = self.aws("create-key", *pair)["KeyMetadata"]["KeyId"]
        signed = (
            "--key-id",
            key_id,
            "--message",
            f"fileb://{self.folder}/plain",
            "--signing-algorithm",
            "ECDSA_SHA_256",
        )
        signature = self.folder / "signature"
        signature.write_bytes(base64.b64decode(self.aws("sign", *signed)["Signature"]))
        require(self.aws("verify", *signed, "--signature", f"fileb://{signature}")["SignatureValid"])
        say("The signature is valid. What this token cannot do is refused by name, and not done in software instead:")
        rsa: dict[str, Any] = {"KeySpec": "RSA_2048", "KeyUsage": "ENCRYPT_DECRYPT"}
        self.refused("a new RSA key for decryption", lambda: self.kms.create_key(**rsa))
        say("The token is pulled out once more:")
        # SoftHSM goes on with what it has unwrapped until it notices.
        other = self.kms.create_key()["KeyMetadata"]["KeyId"]
        self.pull_out()
        message: dict[str, Any] = {"Message": b"a secret", "SigningAlgorithm": "ECDSA_SHA_256"}
        self.refused("a key that was not used yet", lambda: self.kms.encrypt(KeyId=other, Plaintext=b"x"))
        self.refused("the key that has signed", lambda: self.kms.sign(KeyId=key_id, **message))
        require(self.kms.verify(KeyId=key_id, Signature=signature.read_bytes(), **message)["SignatureValid"])
        say("In this depth no backing key is used without the token. Verifying takes the public key, and still works.")
        self.put_back()
        self.until_it_works(lambda: self.kms.sign(KeyId=key_id, **message))

    def import_known_material(self) -> None:
        step("Key material that is known, imported: the token decrypts it, and the server does not")
        material, encrypted, token = (self.folder / name for name in ("material", "encrypted", "token"))
        material.write_bytes(os.urandom(32))  # noqa: TID251 - the owner of a key, not the service
        spec = ("--key-spec", "HMAC_256", "--key-usage", "GENERATE_VERIFY_MAC", "--origin", "EXTERNAL")
        key_id = self.aws("create-key", *spec)["KeyMetadata"]["KeyId"]
        wrapping = ("--wrapping-key-spec", "RSA_3072", "--wrapping-algorithm", "RSAES_OAEP_SHA_1")
        given = self.aws("get-parameters-for-import", "--key-id", key_id, *wrapping)
        token.write_bytes(base64.b64decode(given["ImportToken"]))
        public_key: Any = load_der_public_key(base64.b64decode(given["PublicKey"]))
        padding = OAEP(MGF1(SHA1()), SHA1(), label=None)  # noqa: S303 - SoftHSM has OAEP with SHA-1 alone
        encrypted.write_bytes(public_key.encrypt(material.read_bytes(), padding))
        self.aws(
            *("import-key-material", "--key-id", key_id, "--expiration-model", "KEY_MATERIAL_DOES_NOT_EXPIRE"),
            *("--encrypted-key-material", f"fileb://{encrypted}", "--import-token", f"fileb://{token}"),
        )
        message = ("--message", f"fileb://{self.folder}/plain", "--mac-algorithm", "HMAC_SHA_256")
        mac = base64.b64decode(self.aws("generate-mac", "--key-id", key_id, *message)["Mac"])
        require(mac == hmac.digest(material.read_bytes(), b"a secret", "sha256"))
        say("The MAC is the one that Python computes with the material.")
        found = self.files_with(material.read_bytes())
        say(f"Files here that contain the material: {', '.join(found)}. It was written by its owner.")
        require(found == ["material"])

    def files_with(self, secret: bytes) -> list[str]:
        """Return which files of the demonstration contain a secret: in bytes, in digits or in Base64."""
        # The last characters of Base64 depend on what follows.
        forms = (secret, secret.hex().encode(), base64.b64encode(secret)[:40])
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        return [
            str(path.relative_to(self.folder)) for path in files if any(each in path.read_bytes() for each in forms)
        ]

    def pull_out(self) -> None:
        (self.folder / "hsm" / "tokens").rename(self.folder / "hsm" / "pulled")

    def put_back(self) -> None:
        (self.folder / "hsm" / "pulled").rename(self.folder / "hsm" / "tokens")

    def until_it_works(self, call: Callable[[], object]) -> None:
        """Make a call until it is not refused any more."""
        deadline = time.monotonic() + 30
        while True:
            try:
                call()
            except ClientError:
                require(time.monotonic() < deadline)
                time.sleep(0.2)
            else:
                return

    def verify(self) -> None:
        step("All of it is in the audit log")
        self.strongroom("audit", "verify")

    def ready(self) -> str:
        with urllib.request.urlopen(f"{self.server.endpoint}/readyz") as answer:  # noqa: S310 - loopback
            return str(answer.read().decode()).strip().replace(str(self.folder), "...")

    def refused(self, what: str, call: Callable[[], object]) -> None:
        """Make a call, which must be refused; the demonstration fails if it is not."""
        begun = time.monotonic()
        try:
            call()
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
