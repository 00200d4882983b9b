"""``strongroom backup``: make a backup; verify one."""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from strongroom.assembly.backups.maker import BackupMaker
from strongroom.assembly.backups.root_key_source import RootKeySource
from strongroom.assembly.backups.verification import OpenedContent, Origin, VerifiedBackup, verify_backup
from strongroom.assembly.open_folder import OpenFolder
from strongroom.audit.cloudtrail import event_time
from strongroom.backup.blocks import BackupError
from strongroom.cli.backup_options import (
    audit_public_key_option,
    backup_errors,
    decryption_of,
    identity_option,
    passphrase_file_option,
    read_audit_public_key,
    read_passphrase,
    root_key_option,
    text_in,
)
from strongroom.cli.data_folder import open_data_folder
from strongroom.cli.groups import Group
from strongroom.cli.options import FILE, PATH, WrongOptionError, config_option, data_option, read_settings
from strongroom.cli.output import MOST_NAMED, Question, json_option, json_time, show
from strongroom.cli.progress import progress_bar
from strongroom.cli.unsealing import unsealing_of
from strongroom.clock import SystemClock
from strongroom.crypto.age.passphrase import PassphraseEncryption
from strongroom.crypto.age.recipients import RecipientEncryption, parse_recipient, parse_recipients
from strongroom.crypto.age.stream import Encryption
from strongroom.entropy import system_entropy
from strongroom.settings import Settings
from strongroom.supervisor.hardening import harden_process


@click.group(cls=Group, invoke_without_command=True)
@click.option(
    "--to",
    type=PATH,
    default=Path(),
    help="The new file; or a folder, in which the backup is named after its date. Default: the current folder.",
)
@click.option("--keep", type=click.IntRange(min=1), help="Of the dated backups of this deployment, keep the N newest.")
@click.option(
    "--recipient",
    "recipients",
    multiple=True,
    help="Encrypt to this age public key (age1...) or SSH public key. Can be given several times.",
)
@click.option(
    "--recipients-file",
    "recipient_files",
    multiple=True,
    type=FILE,
    help="Encrypt to the recipients in this file, one a line.",
)
@passphrase_file_option
@click.option("--unencrypted", is_flag=True, help="Do not encrypt. What is wrapped still needs the root key.")
@click.option(
    "--with-domain-keys",
    is_flag=True,
    help="Include the domain keys, unsealed: who can decrypt the backup can restore it without the root key.",
)
@json_option
@data_option
@config_option
@click.pass_context
def backup(  # noqa: PLR0913 - the options of one backup
    context: click.Context,
    *,
    to: Path,
    keep: int | None,
    recipients: tuple[str, ...],
    recipient_files: tuple[Path, ...],
    passphrase_file: Path | None,
    unencrypted: bool,
    with_domain_keys: bool,
    as_json: bool,
    data: str | None,
    config: Path | None,
) -> None:
    """Make a backup in one file, also while the server runs.

    The file appears under its name once it is complete, on disk, and was read back and checked. Without an option that
    says how to encrypt, a terminal is asked for a passphrase.
    """
    if context.invoked_subcommand is not None:
        return
    if keep is not None and not to.is_dir():
        wrong = "is not a folder" if to.exists() else "does not exist: make the folder first, or choose another"
        raise click.BadParameter(f"`{to}` {wrong}; --keep needs a folder in --to", param_hint="--to")
    with backup_errors():
        encryption = _encryption(recipients, recipient_files, passphrase_file, unencrypted=unencrypted)
    with backup_errors(), open_data_folder(config, data) as (opened, settings):
        _require_approved(settings, encryption, with_domain_keys=with_domain_keys)
        maker = BackupMaker(opened, SystemClock(), system_entropy)
        with progress_bar("Backup") as advance:
            made = maker.make(to, encryption, advance, with_domain_keys=with_domain_keys, keep=keep)
        needed = None if with_domain_keys else _needed_to_restore(opened)
    keys = made.signed.manifest.rows_of("kms_key")
    document = {
        "file": str(made.path),
        "keys": keys,
        "size": made.size,
        "manifest": made.signed.digest,
        "removed": [str(path) for path in made.removed],
        "needed_to_restore": needed,
    }
    lines = (
        str(made.path),
        f"{keys} keys, {made.size} bytes, manifest {made.signed.digest}",
        *(f"removed {path}" for path in made.removed),
        *([] if needed is None else [needed]),
    )
    show(document, lines, as_json=as_json)


def _needed_to_restore(opened: OpenFolder) -> str:
    """Return what an operator must keep beside the backup."""
    seals = opened.seals.status().seals
    files = [opened.folder.path / str(each.parameters["file"]) for each in seals if each.kind == "file"]
    others = [each.name for each in seals if each.kind != "file"]
    if not others:
        return f"To restore it, the root key is needed: keep a copy of {files[0]} elsewhere."
    names = " or ".join(repr(each) for each in others)
    return f"To restore it, its seal {names} is needed{f', or a copy of {files[0]}' if files else ''}."


def _require_approved(settings: Settings, encryption: Encryption | None, *, with_domain_keys: bool) -> None:
    """Refuse age where only approved algorithms may protect keys; raises ClickException."""
    if settings.fips and (encryption is not None or with_domain_keys):
        raise click.ClickException(
            "with `fips`, make the backup with --unencrypted and without --with-domain-keys: age encrypts with X25519 "
            "and ChaCha20-Poly1305, which are not approved. Keys and secrets in a backup are wrapped with AES-256-GCM"
        )


def _encryption(
    recipients: tuple[str, ...], files: tuple[Path, ...], passphrase_file: Path | None, *, unencrypted: bool
) -> Encryption | None:
    """Return how to encrypt, None for not at all; raises ClickException, AgeError."""
    to = [parse_recipient(each) for each in recipients]
    for path in files:
        to += parse_recipients(text_in(path))
    if files and not to:
        raise click.ClickException(f"`{files[0]}` has no recipient")
    if bool(to) + (passphrase_file is not None) + unencrypted > 1:
        raise WrongOptionError("give either recipients, or a passphrase, or --unencrypted")
    if unencrypted:
        return None
    if to:
        return RecipientEncryption(to)
    if passphrase_file is None and not sys.stdin.isatty():
        raise WrongOptionError(
            "say how to encrypt: --recipient, --recipients-file, --passphrase-file, or --unencrypted for not at all"
        )
    return PassphraseEncryption(read_passphrase(passphrase_file, new=True), system_entropy)


@backup.command("verify", cls=Question)
@click.argument("file", type=FILE)
@identity_option
@passphrase_file_option
@root_key_option
@audit_public_key_option
@click.option("--unseal", is_flag=True, help="Open the root key with the seals that are in the backup.")
@json_option
@config_option
def verify(  # noqa: PLR0913 - the options of one verification
    *,
    file: Path,
    identities: tuple[Path, ...],
    passphrase_file: Path | None,
    root_key: Path | None,
    audit_public_key: Path | None,
    unseal: bool,
    as_json: bool,
    config: Path | None,
) -> None:
    """Check the backup FILE: that it is whole, who made it, and that all in it opens.

    Exits with 0 if so, with 1 if not, and with 2 if that cannot be found out, for want of what decrypts the file, say.

    With the root key, or domain keys in the backup, every key's material is opened. The root key or the audit public
    key shows that the backup was made by their deployment.
    """
    with backup_errors():
        harden_process()
        decryption = decryption_of(file, identities, passphrase_file)
        public_key = read_audit_public_key(audit_public_key)
        with file.open("rb") as opened, progress_bar("Verifying", file.stat().st_size) as advance:
            source = None
            if root_key is not None or unseal:
                source = RootKeySource(root_key, unsealing_of(read_settings(config)), system_entropy)
            try:
                found = verify_backup(opened, decryption, source, public_key, system_entropy, advance)
            except BackupError as error:
                click.echo(f"Error: {error}", err=True)
                raise SystemExit(1) from None
    show(verified_document(found), _verified_lines(found), as_json=as_json)
    if found.content is not None and found.content.damaged_count:
        raise SystemExit(1)


def verified_document(found: VerifiedBackup) -> dict[str, object]:
    """Return what was found in a backup as JSON has it; ``content`` is null if it was not opened."""
    manifest = found.signed.manifest
    return {
        "made": json_time(manifest.at),
        "release": manifest.release,
        "schema": manifest.schema,
        "manifest": found.signed.digest,
        "deployment": manifest.deployment,
        "node": manifest.node or None,
        "keys": manifest.rows_of("kms_key"),
        "signed_by_deployment": None if found.origin is Origin.UNKNOWN else str(found.origin),
        "content": found.content,
    }


def _verified_lines(found: VerifiedBackup) -> Iterator[str]:
    """Yield what was found in a backup, and what could not be checked."""
    manifest = found.signed.manifest
    at = event_time(manifest.at)
    yield f"backup of {at} by release {manifest.release}, schema {manifest.schema}, manifest {found.signed.digest}"
    yield f"deployment {manifest.deployment}, node {manifest.node or '-'}, {manifest.rows_of('kms_key')} keys"
    if manifest.ends is not None:
        yield f"database: change {manifest.ends.change} of history {manifest.ends.history}"
    if found.content is None:
        yield "not checked: whether the keys open; give --root-key"
    else:
        yield from content_lines(found.content)
    if found.origin is Origin.UNKNOWN:
        yield "not checked: who made it; give --root-key or --audit-public-key"
    else:
        yield f"signed by its deployment: verified with the {found.origin}"
    if found.content is not None and found.content.damaged_count:
        yield f"The backup is whole, but {found.content.damaged_count} keys or secrets in it do not open."
    else:
        yield "The backup is whole."


def content_lines(content: OpenedContent) -> Iterator[str]:
    """Yield what was opened in a backup or a restored folder."""
    yield f"{content.opened} wrapped keys and secrets opened"
    for each in content.damaged[:MOST_NAMED]:
        yield f"DAMAGED: {each} does not open, or is not as it was written"
    if content.damaged_count > MOST_NAMED:
        yield f"... and {content.damaged_count - MOST_NAMED} more"
    if content.elsewhere:
        yield (
            f"note: {content.elsewhere} keys have material in custom key stores, which are not in a backup, or under "
            "keys in a hardware token, which is not set (`pkcs11-module`)"
        )
