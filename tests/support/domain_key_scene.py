"""Rotates domain keys beside a deployment that stays open, as a command does beside a server."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from local_deployment import LocalDeployment, entropy
from strongroom.assembly.open_folder import OpenFolder, open_existing
from strongroom.keys.arns import KeyLocator

REGION = "us-east-1"


@contextmanager
def command(local: LocalDeployment) -> Iterator[OpenFolder]:
    """Open the folder as a command does, which runs beside the server."""
    with closing(open_existing(local.settings, local.clock, entropy)) as opened:
        yield opened


def rotate(local: LocalDeployment, *scopes: str) -> None:
    with command(local) as opened:
        opened.domain_keys.begin(scopes)
        for each in opened.domain_keys.status(scopes):
            assert opened.domain_keys.rewrap(each.scope) == ()
        assert not any(each.remaining for each in opened.domain_keys.status())


def learn(local: LocalDeployment) -> None:
    """Have the process of a deployment read the domain keys again, as one does that notices a change."""
    secrets = local.deployment.backends.secrets
    secrets.note_change()
    secrets.wrap(b"", b"")


def versions(local: LocalDeployment) -> dict[str, list[int]]:
    with local.deployment.backends.store.read() as reader:
        found: dict[str, list[int]] = {}
        for each in reader.domain_keys():
            found.setdefault(each.scope, []).append(each.version)
        return found


def new_key(local: LocalDeployment, **more: Any) -> str:
    return str(local.call("CreateKey", **more)["KeyMetadata"]["KeyId"])


def locator(local: LocalDeployment, key_id: str) -> KeyLocator:
    return KeyLocator(local.settings.account, REGION, key_id)


def encrypt(local: LocalDeployment, key_id: str) -> str:
    return str(local.call("Encrypt", KeyId=key_id, Plaintext="eA==")["CiphertextBlob"])


def decrypt(local: LocalDeployment, blob: str) -> str:
    return str(local.call("Decrypt", CiphertextBlob=blob)["Plaintext"])
