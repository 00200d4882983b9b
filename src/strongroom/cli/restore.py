"""``strongroom restore``."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import click

from strongroom.assembly.backups.restore import Restore, RestoredBackup, RestoreRequest
from strongroom.assembly.backups.root_key_source import RootKeyKind
from strongroom.assembly.backups.streams import Progress
from strongroom.assembly.databases.chosen import postgresql_of
from strongroom.assembly.overdue_deletions import WAITING_DAYS
from strongroom.audit.cloudtrail import event_time
from strongroom.cli.backup import content_lines, verified_document
from strongroom.cli.backup_options import (
    audit_public_key_option,
    backup_errors,
    decryption_of,
    identity_option,
    passphrase_file_option,
    read_audit_public_key,
    root_key_option,
)
from strongroom.cli.command_lines import command_line
from strongroom.cli.data_folder import log_in_plain_lines
from strongroom.cli.options import EXISTING_FOLDER, FILE, WrongOptionError, config_option, data_option, read_settings
from strongroom.cli.output import json_option, named_lines, show
from strongroom.cli.progress import progress_bar
from strongroom.cli.unsealing import unsealing_of
from strongroom.clock import SystemClock
from strongroom.entropy import system_entropy
from strongroom.first_few import first_few
from strongroom.supervisor.hardening import harden_process


@click.command()
@click.argument("file", type=FILE)
@identity_option
@passphrase_file_option
@root_key_option
@audit_public_key_option
@click.option(
    "--audit",
    multiple=True,
    type=EXISTING_FOLDER,
    help="Audit folder, or data folder, of the lost server: what was destroyed since the backup stays destroyed. "
    "Can be given several times.",
)
@click.option(
    "--without-audit-log",
    is_flag=True,
    help="There is no audit log any more: keys that were destroyed after the backup come back.",
)
@click.option(
    "--bring-back",
    multiple=True,
    metavar="KEY",
    help="Key id or ARN of a key that was destroyed after the backup, and is wanted: it comes back disabled.",
)
@click.option("--any-origin", is_flag=True, help="Restore although nothing shows who made the backup.")
@click.option("--damaged-keys", is_flag=True, help="Restore although some keys or other records are damaged.")
@json_option
@data_option
@config_option
def restore(  # noqa: PLR0913 - the options of one restore
    *,
    file: Path,
    identities: tuple[Path, ...],
    passphrase_file: Path | None,
    root_key: Path | None,
    audit_public_key: Path | None,
    audit: tuple[Path, ...],
    without_audit_log: bool,
    bring_back: tuple[str, ...],
    any_origin: bool,
    damaged_keys: bool,
    as_json: bool,
    data: str | None,
    config: Path | None,
) -> None:
    """Restore the backup FILE into an empty or missing data folder.

    Everything is verified first. The data folder appears when all keys were opened and everything is on disk. It
    belongs to a new node, whose audit log begins with a record of the restore. If `store` in the settings names a
    PostgreSQL database, that must have tables and nothing in them, and gets the state.
    """
    with backup_errors():
        settings = read_settings(config, data=data)
        if bool(audit) == without_audit_log:
            raise WrongOptionError(
                "give the audit logs of the lost server with --audit FOLDER, so that keys which were destroyed after "
                "the backup stay destroyed; or --without-audit-log, which brings those keys back"
            )
        if bring_back and not audit:
            raise WrongOptionError("--bring-back names keys that the audit log says were destroyed; give --audit")
        harden_process()
        log_in_plain_lines()
        request = RestoreRequest(
            file=file,
            decryption=decryption_of(file, identities, passphrase_file),
            data=settings.folder,
            root_key=root_key,
            unsealing=unsealing_of(settings),
            audit_public_key=read_audit_public_key(audit_public_key),
            audit=audit or None,
            bring_back=bring_back,
            any_origin=any_origin,
            damaged_keys=damaged_keys,
            database=postgresql_of(settings, SystemClock(), system_entropy) if settings.is_on_postgresql else None,
        )
        with _Bars() as bars:
            restored = Restore(request, SystemClock(), system_entropy, bars.begin).run()
    settled = restored.settled
    document = {
        "data": str(request.data),
        "backup": verified_document(restored.verified),
        "content": restored.content,
        "destroyed_again": settled.destroyed,
        "material_destroyed_again": settled.materials,
        "brought_back": settled.brought_back,
        "waiting_anew": settled.waiting_anew,
        "disconnected_key_stores": settled.disconnected,
        "accounts": restored.accounts,
        "new_root_key": str(request.data / "root.key") if restored.root_key.kind is RootKeyKind.NEW else None,
        "closed_seals": restored.root_key.closed_seals or None,
        "missing_key_files": [str(request.data / each) for each in restored.root_key.without_key_file.values()],
    }
    show(document, _lines(restored, request, config), as_json=as_json)


class _Bars(ExitStack):
    """Progress bars, one after the other."""

    def begin(self, label: str, length: int) -> Progress:
        """End the last bar and begin the next."""
        self.close()
        return self.enter_context(progress_bar(label, length))


def _lines(restored: RestoredBackup, request: RestoreRequest, config: Path | None) -> Iterator[str]:
    """Yield what was restored, what was decided, and what remains to be done."""
    manifest, settled = restored.verified.signed.manifest, restored.settled
    yield f"restored {manifest.rows_of('kms_key')} keys from the backup of {event_time(manifest.at)}"
    yield from content_lines(restored.content)
    for text, arns in (
        ("destroyed again, as the audit log says", settled.destroyed),
        ("imported material destroyed again, as the audit log says", settled.materials),
        ("brought back, disabled", settled.brought_back),
        (f"pending deletion, and due: {WAITING_DAYS} days more", settled.waiting_anew),
    ):
        yield from named_lines(text, arns)
    if request.audit is None:
        yield "note: keys that were destroyed after the backup are back, because no audit log was given"
    if restored.in_token:
        yield (
            "note: its keys need the same objects in the token as the deployment that was backed up. If that one goes "
            "on, give one of them a copy of the token: a rotation of domain keys there destroys the objects for both"
        )
    for store_id in settled.disconnected:
        yield (
            f"note: the custom key store {store_id} is disconnected: the deployment that was backed up may go on with "
            "the same keys in its cluster, and a key that is deleted here would be gone for both. If that deployment "
            f"is gone, connect it: aws kms connect-custom-key-store --custom-key-store-id {store_id}"
        )
    yield from _root_key_lines(restored, request)
    accounts = first_few(restored.accounts, 20)
    yield f"Access keys are as they were. If root access keys of {accounts} are lost, run:"
    yield f"  {command_line('account', 'root-key', 'ID', data=request.data, config=config)}"
    yield f"{request.data} is restored."


def _root_key_lines(restored: RestoredBackup, request: RestoreRequest) -> Iterator[str]:
    """Yield what opens the restored keys from now on, and what is missing for it."""
    root_key = restored.root_key
    if root_key.closed_seals:
        yield (
            "note: no seal in the backup opens, so the domain keys in it were taken, and the seals are not restored: "
            f"{root_key.closed_seals}"
        )
    for name, file in root_key.without_key_file.items():
        yield (
            f"note: the seal {name!a} opens nothing without its key file: put a copy of it at {request.data / file}, "
            "or have a new one made: strongroom seal rotate"
        )
    if root_key.kind is RootKeyKind.SEALED:
        yield "The seals in the backup open the restored keys. Keep what they need: there is no other root key."
    if root_key.kind is RootKeyKind.NEW:
        yield f"A new root key was made: {request.data / 'root.key'}. Keep a copy elsewhere."
