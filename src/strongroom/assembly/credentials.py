"""Root access keys, and the file that hands them to their owner in the AWS shared-credentials format."""

import base64
import os
from pathlib import Path

import msgspec
from typing_extensions import override

from strongroom.entropy import Entropy


class NewAccessKey(msgspec.Struct, frozen=True):
    """An access key as it is shown once."""

    access_key_id: str
    secret: str

    @override
    def __repr__(self) -> str:
        return f"NewAccessKey({self.access_key_id})"


def new_access_key(entropy: Entropy) -> NewAccessKey:
    """Return a long-term access key: ``AKIA`` and 16 letters or digits, with a secret of 240 bits."""
    return NewAccessKey(
        access_key_id="AKIA" + base64.b32encode(entropy(10)).decode(),
        secret=base64.b64encode(entropy(30)).decode(),
    )


def write_credentials(path: Path, profile: str, key: NewAccessKey) -> None:
    """Write a credentials file with one profile, mode 0600, on disk before this returns."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"[{profile}]\naws_access_key_id = {key.access_key_id}\naws_secret_access_key = {key.secret}\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
