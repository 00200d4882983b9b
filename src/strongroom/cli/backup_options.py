"""What ``backup`` and ``restore`` share: how a backup is encrypted and decrypted, errors."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from strongroom.backup.blocks import BackupError
from strongroom.cli.data_folder import readable_errors
from strongroom.cli.options import FILE, READABLE, read_public_key
from strongroom.crypto.age.passphrase import PassphraseDecryption, is_under_passphrase
from strongroom.crypto.age.recipients import IdentityDecryption, parse_identities
from strongroom.crypto.age.stream import MAGIC, AgeError, Decryption
from strongroom.crypto.audit_key import AuditPublicKey
from strongroom.errors import KmsError

F = TypeVar("F", bound=Callable[..., Any])

_HEAD = 64
_MOST_TEXT = 1 << 20
"""Bytes. Passphrases, identities and lists of recipients are much smaller; a device may have no end."""

identity_option = click.option(
    "--identity",
    "identities",
    multiple=True,
    type=READABLE,
    help="File with an age identity, or an SSH private key, to decrypt with. Can be given several times.",
)
passphrase_file_option = click.option(
    "--passphrase-file", type=READABLE, help="File with the passphrase in its first line."
)
root_key_option = click.option(
    "--root-key",
    type=FILE,
    help="The root key of the deployment: a copy of its root.key, of the key file of a seal, or of seal.json.",
)
audit_public_key_option = click.option(
    "--audit-public-key",
    type=FILE,
    help="Public key (PEM), as `audit public-key` printed it: it shows that the backup was made by that deployment.",
)


@contextmanager
def backup_errors() -> Iterator[None]:
    """Turn the errors of backups into a ClickException of one line."""
    with readable_errors():
        try:
            yield
        except (BackupError, AgeError, KmsError) as error:
            raise click.ClickException(str(error)) from None


def read_passphrase(path: Path | None, *, new: bool) -> str:
    """Return a passphrase from the first line of a file, or ask for it on a terminal; raises ClickException."""
    if path is None:
        if not sys.stdin.isatty():
            raise click.ClickException(
                "the backup is encrypted under a passphrase; give it with --passphrase-file FILE"
            )
        found: str = click.prompt("Passphrase", hide_input=True, confirmation_prompt=new, err=True)
        return found
    lines = text_in(path).splitlines()
    if not lines or not lines[0]:
        raise click.ClickException(f"`{path}` has no passphrase in its first line")
    return lines[0]


def decryption_of(path: Path, identities: Sequence[Path], passphrase_file: Path | None) -> Decryption | None:
    """Return how to decrypt a backup, None if it is not encrypted; raises ClickException, AgeError."""
    with path.open("rb") as file:
        beginning = file.read(_HEAD)
    if not beginning.startswith(MAGIC):
        return None
    if is_under_passphrase(beginning):
        return PassphraseDecryption(read_passphrase(passphrase_file, new=False))
    if not identities:
        raise click.ClickException(
            f"`{path}` is encrypted to recipients; give the file of one's identity with --identity"
        )
    return IdentityDecryption([each for file in identities for each in parse_identities(text_in(file))])


def read_audit_public_key(path: Path | None) -> AuditPublicKey | None:
    """Return the public key in a file, None without one; raises BadParameter."""
    return None if path is None else read_public_key(path, "--audit-public-key")


def text_in(path: Path) -> str:
    """Return the text in a file; raises ClickException, which names the file, if it is no text."""
    with path.open("rb") as file:
        content = file.read(_MOST_TEXT + 1)
    if len(content) > _MOST_TEXT:
        raise click.ClickException(f"`{path}` is too large for what it should hold; name another file")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise click.ClickException(f"`{path}` is no text file; name another one") from None
