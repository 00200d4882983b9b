"""What ``backup`` and ``restore`` share: how a backup is encrypted and decrypted, errors, progress."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from strongroom.backup.blocks import BackupError
from strongroom.cli.data_folder import readable_errors
from strongroom.crypto.age.passphrase import PassphraseDecryption, is_under_passphrase
from strongroom.crypto.age.recipients import IdentityDecryption, parse_identities
from strongroom.crypto.age.stream import MAGIC, AgeError, Decryption
from strongroom.crypto.audit_key import AuditPublicKey, load_audit_public_key
from strongroom.errors import KmsError

F = TypeVar("F", bound=Callable[..., Any])

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_HEAD = 64

identity_option = click.option(
    "--identity",
    "identities",
    multiple=True,
    type=_FILE,
    help="File with an age identity, or an SSH private key, to decrypt with. Can be given several times.",
)
passphrase_file_option = click.option(
    "--passphrase-file", type=_FILE, help="File with the passphrase in its first line."
)
root_key_option = click.option("--root-key", type=_FILE, help="The root key of the deployment: a copy of its root.key.")
audit_public_key_option = click.option(
    "--audit-public-key",
    type=_FILE,
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
    lines = read_text(path).splitlines()
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
    return IdentityDecryption([each for file in identities for each in parse_identities(read_text(file))])


def read_text(path: Path) -> str:
    """Return the text in a file; raises ClickException if it holds something else."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise click.ClickException(f"`{path}` is not a text file") from None


def read_audit_public_key(path: Path | None) -> AuditPublicKey | None:
    """Return the public key in a file, None without one; raises BadParameter."""
    if path is None:
        return None
    try:
        return load_audit_public_key(path.read_bytes())
    except ValueError:
        raise click.BadParameter(f"`{path}` holds no Ed25519 public key", param_hint="--audit-public-key") from None


@contextmanager
def progress_bar(label: str, length: int = 0) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar on standard error if it is a terminal. Yield ``advance(done, total)``; total 0 leaves it."""
    with click.progressbar(
        length=length or 1, label=label, file=sys.stderr, hidden=not sys.stderr.isatty(), show_pos=False
    ) as bar:

        def advance(done: int, total: int) -> None:
            if total:
                bar.length = total
            bar.update(done)

        yield advance
