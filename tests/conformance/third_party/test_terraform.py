"""Terraform with its provider for AWS, over TLS with a private authority: ``terraform/*.tf``.

The provider is the newest of which a package on PyPI has the program: of May 2021.
"""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from mypy_boto3_kms.client import KMSClient

from installed_packages import installed_packages
from local_server import RunningServer
from programs import unmeasured

SOURCES = Path(__file__).parent / "terraform"
PROVIDER = "terraform-provider-aws_3.39.0_linux_amd64"


@pytest.fixture(scope="module")
def installed(pytestconfig: pytest.Config) -> Path:
    return installed_packages(pytestconfig, SOURCES, _unpack_provider)


def _unpack_provider(folder: Path) -> None:
    """Unpack the provider's program, and remove what is not needed."""
    archives = folder / "cloudrail"
    with zipfile.ZipFile(archives / "terraform_plugins" / f"{PROVIDER}.zip") as archive:
        archive.extractall(folder / PROVIDER)
    shutil.rmtree(archives)
    for program in (folder / PROVIDER).iterdir():
        program.chmod(0o755)


class Terraform:
    """Runs commands in a folder of its own."""

    def __init__(self, installed: Path, server: RunningServer, folder: Path) -> None:
        self._folder = folder
        for source in SOURCES.glob("*.tf"):
            shutil.copy(source, folder)
        settings = folder / "terraform.rc"
        # Terraform then looks for this provider nowhere else, and needs no `init`.
        override = f'dev_overrides {{ "hashicorp/aws" = "{installed / PROVIDER}" }}'
        settings.write_text(f"provider_installation {{ {override} }}\ndisable_checkpoint = true\n")
        self._environment = unmeasured(server.environment) | {
            "HOME": str(folder),
            "PYTHONPATH": str(installed),
            "TF_CLI_CONFIG_FILE": str(settings),
            "TF_VAR_endpoint": server.endpoint,
        }

    def run(self, command: str, *options: str) -> str:
        done = subprocess.run(
            [sys.executable, str(SOURCES / "run.py"), command, *options],
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def require_no_changes(self, deployed: int) -> None:
        """Have everything compared with the configuration of a release."""
        self.run("plan", "-detailed-exitcode", "-input=false", "-no-color", f"-var=deployed={deployed}")

    def apply(self, deployed: int) -> dict[str, Any]:
        """Bring a release about; return its outputs."""
        self.run("apply", "-auto-approve", "-input=false", "-no-color", f"-var=deployed={deployed}")
        return {name: each["value"] for name, each in json.loads(self.run("output", "-json")).items()}


def test_keys_and_identities_are_made_changed_and_destroyed(
    tls_server: RunningServer, tls_kms: KMSClient, installed: Path, tmp_path: Path
) -> None:
    terraform = Terraform(installed, tls_server, tmp_path)
    made = terraform.apply(1)
    terraform.require_no_changes(1)
    assert made["code"] == "4711"
    assert made["arn"] == made["data"]
    grants = {grant["Name"]: grant["Constraints"] for grant in tls_kms.list_grants(KeyId=made["data"])["Grants"]}
    finance = {"Department": "Finance"}
    assert grants == {"equals": {"EncryptionContextEquals": finance}, "subset": {"EncryptionContextSubset": finance}}
    assert tls_kms.get_key_rotation_status(KeyId=made["data"])["KeyRotationEnabled"]

    changed = terraform.apply(2)
    assert changed["arn"] == changed["imported"]
    assert tls_kms.describe_key(KeyId=made["data"])["KeyMetadata"]["Description"] == "release 2"
    assert tls_kms.list_resource_tags(KeyId=made["data"])["Tags"] == [{"TagKey": "Release", "TagValue": "2"}]

    # What is not in the state is imported, and is as the configuration says.
    terraform.run("state", "rm", "aws_kms_alias.data")
    terraform.run("import", "-input=false", "aws_kms_alias.data", "alias/terraform")
    terraform.require_no_changes(2)

    terraform.run("destroy", "-auto-approve", "-input=false", "-var=deployed=2")
    assert tls_kms.describe_key(KeyId=made["data"])["KeyMetadata"]["KeyState"] == "PendingDeletion"
    assert not any(each["AliasName"] == "alias/terraform" for each in tls_kms.list_aliases()["Aliases"])
