"""``strongroom dev``: a server for development and tests, whose clock and faults can be controlled.

This is the only module that imports ``strongroom.development``, and it does so only when the command runs.
"""

import json
import logging
import os
import shlex
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import click
from msgspec.structs import replace

from strongroom.assembly.credentials import CredentialsFileError, add_profile, given_key
from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.cli.client_environment import fish_quoted, write_client_environment
from strongroom.cli.data_folder import readable_errors
from strongroom.cli.groups import HELP_OPTIONS
from strongroom.cli.options import FILE
from strongroom.cli.standard_output import say
from strongroom.crypto.access_keys import NewAccessKey
from strongroom.http.listeners import claim_port
from strongroom.settings import Settings
from strongroom.settings_sources import load
from strongroom.supervisor.hardening import harden_process
from strongroom.supervisor.signals import STOP_SIGNALS
from strongroom.telemetry.logs import start_logging

_FIXED = NewAccessKey("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
"""The example of AWS's documentation, which secret scanners know."""
_THREADS = 64
"""Most of them are for calls that a fault delays: each holds one."""
_WRITE_THREADS = 16
_DRAIN = 1.0
"""How long calls may go on when it stops, seconds: a developer waits for that."""
_STOP_SIGNALS = STOP_SIGNALS | {signal.SIGHUP}
"""A terminal that is closed ends the server as well, so that its data is removed."""
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@click.command("dev", context_settings=HELP_OPTIONS)
@click.option("--port", type=click.IntRange(0, 65_535), default=4599, show_default=True, help="0 takes a free port.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--region", "regions", multiple=True, help="Region to serve; repeat for more. Default: us-east-1.")
@click.option("--account", help="Account to create, 12 digits. Default: 000000000000.")
@click.option("--data", help="Data folder to keep. Default: a temporary one, removed at the end.")
@click.option("--seed", type=FILE, help="Make the keys and aliases of this seed file of local-kms (YAML).")
@click.option("--fixed-credentials", is_flag=True, help=f"Use the access key {_FIXED.access_key_id} of AWS's examples.")
@click.option("--access-key-id", help="Use this root access key: 16 to 128 capital letters and digits.")
@click.option("--secret-access-key", help="Its secret: 16 to 128 characters without spaces.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON once it serves, and nothing else.")
@click.option("--stop-at-eof", is_flag=True, help="Stop when standard input ends.")
def dev(  # noqa: PLR0913 - the options of a command
    *,
    port: int,
    host: str,
    regions: tuple[str, ...],
    account: str | None,
    data: str | None,
    seed: Path | None,
    fixed_credentials: bool,
    access_key_id: str | None,
    secret_access_key: str | None,
    as_json: bool,
    stop_at_eof: bool,
) -> None:
    """Serve for development and tests, until SIGTERM or Ctrl-C: one process, temporary data, a clock to control.

    Who can reach its port can move its clock, inject faults and delete everything: docs/testing.md has the interface.
    It reads no settings file and no STRONGROOM_* variables.
    """
    key = _key(access_key_id, secret_access_key, fixed=fixed_credentials)
    with readable_errors(), _folder(data) as folder:
        settings = _settings(data=str(folder), listen=_joined(host, port), regions=regions or None, account=account)
        start_logging(settings, None)
        # It says that the clock is believed, each time that it was set back.
        logging.getLogger("strongroom.maintenance.clock_watch").setLevel(logging.ERROR)
        harden_process()
        _serve(settings, key, seed, as_json=as_json, stop_at_eof=stop_at_eof)


def _settings(**flags: object) -> Settings:
    return load(
        "",
        {},
        {
            **flags,
            "threads": _THREADS,
            "write-threads": _WRITE_THREADS,
            "workers": 1,
            "drain": _DRAIN,
            "allow-plaintext": True,
        },
    )


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _key(access_key_id: str | None, secret: str | None, *, fixed: bool) -> NewAccessKey | None:
    if fixed and (access_key_id or secret):
        raise click.UsageError("--fixed-credentials is an access key already; leave out the other one")
    if bool(access_key_id) != bool(secret):
        raise click.UsageError("--access-key-id and --secret-access-key belong together; give both")
    if access_key_id and secret:
        return NewAccessKey(access_key_id, secret)
    return _FIXED if fixed else None


@contextmanager
def _folder(data: str | None) -> Iterator[Path]:
    """Give the data folder. A temporary one is removed at the end, also if that comes during the start."""
    if data is not None:
        path = Path(data)
        _require_own(path)
        _exit_on_stop_signals(None)
        yield path
        return
    path = Path(tempfile.mkdtemp(prefix="strongroom-dev-"))
    _exit_on_stop_signals(path)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _require_own(path: Path) -> None:
    """Refuse the data folder of another server; raises DataFolderError."""
    if path.is_dir() and any(path.iterdir()) and not DataFolder(path).development.exists():
        raise DataFolderError(
            f"`{path}` was not made by strongroom dev, which lets every caller delete what is in it; "
            "name a new folder with --data"
        )


def _exit_on_stop_signals(temporary: Path | None) -> None:
    """Have the signals that stop a server end one that still starts."""

    def stop(_number: int, _frame: object) -> None:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
        os._exit(0)

    for number in _STOP_SIGNALS:
        signal.signal(number, stop)


def _serve(
    settings: Settings, key: NewAccessKey | None, seed: Path | None, *, as_json: bool, stop_at_eof: bool
) -> None:
    # In no other process: docs/adr/0041.
    from strongroom.development.serving import serve  # noqa: PLC0415
    from strongroom.seeds.local_kms_file import read_seed  # noqa: PLC0415
    from strongroom.seeds.seed import SeedError  # noqa: PLC0415

    host, port = settings.address
    folder = DataFolder(settings.folder)
    lock = folder.lock()
    try:
        # It serves no other folder, because its callers can delete everything; and no other command opens this one.
        folder.development.touch()
        _put_key(folder, key)
        with closing(claim_port(host, port)) as claimed:
            settings = replace(settings, listen=_joined(host, claimed.getsockname()[1]))
            if stop_at_eof:
                threading.Thread(target=_stop_at_eof, name="standard input", daemon=True).start()
            planted = None if seed is None else read_seed(seed)
            signal.signal(signal.SIGHUP, _stop)
            serve(settings, partial(_announce, settings, as_json=as_json), planted)
    except SeedError as error:
        raise click.ClickException(str(error)) from None
    finally:
        os.close(lock)


def _put_key(folder: DataFolder, key: NewAccessKey | None) -> None:
    """Have the account get this root access key, if it is a new one; raises DataFolderError."""
    if key is None:
        return
    new = not folder.credentials.exists()
    if new:
        add_profile(folder.credentials, "default", key)
    try:
        found = given_key(folder.credentials, "default")
    except CredentialsFileError as error:
        if new:
            folder.credentials.unlink()
            raise click.UsageError(
                "--access-key-id must have 16 to 128 capital letters and digits, and not begin with ASIA; "
                "--secret-access-key 16 to 128 characters without spaces"
            ) from None
        raise DataFolderError(str(error)) from None
    if found != key:
        raise DataFolderError(f"the account in `{folder.path}` has another access key; name a new folder with --data")


def _announce(settings: Settings, url: str, *, as_json: bool) -> None:
    """Print where it listens, and the command that makes the AWS clients of a shell use it."""
    for_sh, for_fish = write_client_environment(settings, url, for_commands=False)
    folder = DataFolder(settings.folder)
    if as_json:
        key = given_key(folder.credentials, "default")
        facts = {
            "url": url,
            "account": settings.account,
            "regions": settings.regions,
            "access_key_id": key and key.access_key_id,
            "secret_access_key": key and key.secret,
            "data": str(folder.path),
        }
        say(json.dumps(facts))
        sys.stdout.flush()
        return
    say(f"Strongroom (development) serves account {settings.account} in {', '.join(settings.regions)} at {url}")
    if settings.address[0] not in _LOOPBACK:
        say("Everyone who can reach that address can control this server.")
    say("Point the AWS clients of another shell at it (sh, bash, zsh; fish):\n")
    say(f". {shlex.quote(str(for_sh.absolute()))}")
    say(f"source {fish_quoted(str(for_fish.absolute()))}\n")


def _stop_at_eof() -> None:
    # The main thread takes signals as long as it serves. Afterwards one must not end the process before its data is
    # removed.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    while os.read(0, 4096):
        pass
    _stop()


def _stop(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
