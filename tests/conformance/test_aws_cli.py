"""The AWS CLI, version 1, run as a command."""

import base64
import json
import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from key_import import wrap
from local_server import RunningServer
from programs import unmeasured
from shared_keys import SharedKeys
from xks_stub import SECRET, XksStub

AWS = Path(sys.executable).with_name("aws")


class Cli:
    """Runs ``aws kms`` in a folder, pointed at the server by its ``env.sh``."""

    def __init__(self, server: RunningServer, folder: Path) -> None:
        self.environment = unmeasured(server.environment)
        self.folder = folder

    def __call__(self, *arguments: str) -> Any:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else {}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [AWS, "kms", *arguments], env=self.environment, cwd=self.folder, capture_output=True, text=True, check=False
        )


@pytest.fixture
def aws(server: RunningServer, tmp_path: Path) -> Cli:
    return Cli(server, tmp_path)


def test_the_main_job(aws: Cli) -> None:
    secret = bytes(range(256))
    (aws.folder / "secret").write_bytes(secret)
    created = aws("create-key", "--description", "from the command line", "--tags", "TagKey=team,TagValue=x")
    key_id = created["KeyMetadata"]["KeyId"]
    aws("create-alias", "--alias-name", f"alias/cli-{key_id}", "--target-key-id", key_id)
    context = ("--encryption-context", "purpose=test,owner=me")

    encrypted = aws("encrypt", "--key-id", f"alias/cli-{key_id}", "--plaintext", "fileb://secret", *context)
    (aws.folder / "blob").write_bytes(base64.b64decode(encrypted["CiphertextBlob"]))
    aws("rotate-key-on-demand", "--key-id", key_id)
    opened = aws(
        "decrypt", "--ciphertext-blob", "fileb://blob", "--encryption-context", '{"owner":"me","purpose":"test"}'
    )
    assert base64.b64decode(opened["Plaintext"]) == secret
    refused = aws.run("decrypt", "--ciphertext-blob", "fileb://blob")
    assert refused.returncode != 0
    assert "InvalidCiphertextException" in refused.stderr

    data_key = aws("generate-data-key", "--key-id", key_id, "--key-spec", "AES_256")
    assert len(base64.b64decode(data_key["Plaintext"])) == 32
    other = aws("create-key")["KeyMetadata"]["Arn"]
    moved = aws(
        *("re-encrypt", "--ciphertext-blob", "fileb://blob", "--source-encryption-context", "purpose=test,owner=me"),
        *("--destination-key-id", other),
    )
    assert moved["KeyId"] == other

    scheduled = aws("schedule-key-deletion", "--key-id", key_id, "--pending-window-in-days", "7")
    assert scheduled["KeyState"] == "PendingDeletion"
    aws("cancel-key-deletion", "--key-id", key_id)
    assert aws("describe-key", "--key-id", key_id)["KeyMetadata"]["KeyState"] == "Disabled"
    listed = aws("list-keys", "--page-size", "2")["Keys"]
    assert key_id in {entry["KeyId"] for entry in listed}
    assert len(aws("list-aliases", "--key-id", key_id)["Aliases"]) == 1
    assert len(aws("list-key-rotations", "--key-id", key_id)["Rotations"]) == 1


def test_key_material_is_imported(aws: Cli) -> None:
    key_id = aws("create-key", "--origin", "EXTERNAL")["KeyMetadata"]["KeyId"]
    how = ("--wrapping-algorithm", "RSAES_OAEP_SHA_256", "--wrapping-key-spec", "RSA_3072")
    given = aws("get-parameters-for-import", "--key-id", key_id, *how)
    material = wrap(base64.b64decode(given["PublicKey"]), "RSAES_OAEP_SHA_256", bytes(range(32)))
    (aws.folder / "material").write_bytes(material)
    (aws.folder / "token").write_bytes(base64.b64decode(given["ImportToken"]))
    until = datetime.now(UTC) + timedelta(days=1)  # noqa: TID251 - a client
    files = ("--encrypted-key-material", "fileb://material", "--import-token", "fileb://token")
    expiry = ("--expiration-model", "KEY_MATERIAL_EXPIRES", "--valid-to", until.isoformat())
    aws("import-key-material", "--key-id", key_id, *files, *expiry)
    described = aws("describe-key", "--key-id", key_id)["KeyMetadata"]
    assert (described["KeyState"], described["ExpirationModel"]) == ("Enabled", "KEY_MATERIAL_EXPIRES")
    aws("delete-imported-key-material", "--key-id", key_id)
    assert aws("describe-key", "--key-id", key_id)["KeyMetadata"]["KeyState"] == "PendingImport"


def test_messages_are_signed_and_tagged(aws: Cli, keys: SharedKeys) -> None:
    (aws.folder / "message").write_bytes(b"signed on the command line")
    arn = keys("ECC_NIST_P256", "SIGN_VERIFY")
    call = ("--key-id", arn, "--message", "fileb://message", "--signing-algorithm", "ECDSA_SHA_256")
    (aws.folder / "signature").write_bytes(base64.b64decode(aws("sign", *call)["Signature"]))
    verified = aws("verify", *call, "--signature", "fileb://signature")
    assert verified == {"KeyId": arn, "SignatureValid": True, "SigningAlgorithm": "ECDSA_SHA_256"}

    arn = keys("HMAC_512", "GENERATE_VERIFY_MAC")
    call = ("--key-id", arn, "--message", "fileb://message", "--mac-algorithm", "HMAC_SHA_512")
    (aws.folder / "mac").write_bytes(base64.b64decode(aws("generate-mac", *call)["Mac"]))
    (aws.folder / "message").write_bytes(b"another message")
    refused = aws.run("verify-mac", *call, "--mac", "fileb://mac")
    assert refused.returncode != 0
    assert "KMSInvalidMacException" in refused.stderr


def test_the_commands_of_the_page_on_custom_key_stores(aws: Cli, xks_stub: XksStub) -> None:
    page = (Path(__file__).parents[2] / "docs/custom-key-stores.md").read_text(encoding="utf-8")
    found = re.search(r"```sh\n(.*?)```", page, re.DOTALL)
    assert found is not None
    commands = [shlex.split(line) for line in found[1].replace("\\\n", " ").splitlines()]
    xks_stub.new_key("my-external-key")
    store_id = ""
    answers = []
    # Version 1 would fetch the endpoint.
    (aws.folder / "config").write_text("[default]\ncli_follow_urlparam = false\n")
    aws.environment["AWS_CONFIG_FILE"] = str(aws.folder / "config")
    for program, service, *arguments in commands:
        assert (program, service) == ("aws", "kms")
        named = [each.replace("cks-1234567890abcdef0", store_id).replace("=SECRET", f"={SECRET}") for each in arguments]
        answers.append(aws(*named))
        store_id = store_id or answers[0]["CustomKeyStoreId"]
    key = answers[-1]["KeyMetadata"]
    assert (key["CustomKeyStoreId"], key["XksKeyConfiguration"]) == (store_id, {"Id": "my-external-key"})
    blob = aws("encrypt", "--key-id", key["KeyId"], "--plaintext", "data")["CiphertextBlob"]
    (aws.folder / "external").write_bytes(base64.b64decode(blob))
    assert base64.b64decode(aws("decrypt", "--ciphertext-blob", "fileb://external")["Plaintext"]) == b"data"
    aws("disconnect-custom-key-store", "--custom-key-store-id", store_id)
    refused = aws.run("decrypt", "--ciphertext-blob", "fileb://external")
    assert "not connected to its external key store proxy" in refused.stderr
