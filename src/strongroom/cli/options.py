"""The options that several commands have, and the settings that result from them."""

import os
import stat
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import click
import msgspec
from typing_extensions import override

from strongroom.crypto.audit_key import AuditPublicKey, load_audit_public_key
from strongroom.settings import Account, Region, Settings, SettingsError
from strongroom.settings_rules import Mistake
from strongroom.settings_sources import CONFIG_VARIABLE, FoundSettings, find, load
from strongroom.whole_files import read_regular

_DEFAULT_CONFIG = Path("strongroom.toml")

Decorated = TypeVar("Decorated", bound=Callable[..., object])


class WrongOptionError(click.ClickException):
    """An option or argument that cannot be used, told in one line; the command exits with 2."""

    exit_code = 2


class _NamedPath(click.Path):
    """A path that is given as an argument; an empty one is refused, because to Python it is the current folder."""

    def __init__(self, *, exists: bool = False, file_okay: bool = True, dir_okay: bool = True) -> None:
        super().__init__(exists=exists, file_okay=file_okay, dir_okay=dir_okay, path_type=Path)

    @override
    def convert(
        self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> str | bytes | os.PathLike[str]:
        if not os.fspath(value):
            self.fail("a path must not be empty", param, ctx)
        return super().convert(value, param, ctx)


class _RegularFile(_NamedPath):
    """A file that is there, and neither a pipe, which may be waited for without end, nor a device."""

    def __init__(self) -> None:
        super().__init__(exists=True, dir_okay=False)

    @override
    def convert(
        self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> str | bytes | os.PathLike[str]:
        found = super().convert(value, param, ctx)
        if not Path(os.fsdecode(found)).is_file():
            self.fail(f"`{os.fsdecode(found)}` is not a regular file", param, ctx)
        return found


class _WrittenFile(_NamedPath):
    """A file that a command writes: it is refused before the command does anything, if it could not be written.

    What has the name must be a regular file. A rename would put one in the place of a device, a pipe or a link, such as
    /dev/null or /dev/stdout.
    """

    def __init__(self, *, new: bool) -> None:
        super().__init__(dir_okay=False)
        self._new = new

    @override
    def convert(
        self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> str | bytes | os.PathLike[str]:
        found = super().convert(value, param, ctx)
        reason = self._why_not(Path(os.fsdecode(found)))
        if reason is not None:
            self.fail(f"`{os.fsdecode(found)}` {reason}", param, ctx)
        return found

    def _why_not(self, path: Path) -> str | None:
        """Return why a file cannot be written, None if it can."""
        folder = path.parent
        try:
            if not folder.is_dir():
                return f"cannot be written: `{folder}` is not a folder; make it first"
            found = path.lstat()
        except FileNotFoundError:
            found = None
        except OSError as error:
            return f"cannot be written: {error.strerror}"
        if found is not None and self._new:
            return "exists already; name a new file"
        if found is not None and not stat.S_ISREG(found.st_mode):
            return "is not a regular file; name a file"
        return None if os.access(folder, os.W_OK | os.X_OK) else f"cannot be written: you may not write in `{folder}`"


PATH = _NamedPath()
"""A path of any kind."""
FILE = _RegularFile()
"""A file that exists."""
READABLE = _NamedPath(exists=True, dir_okay=False)
"""What can be read like a file: also a pipe, from which a shell can hand over a secret."""
WRITTEN_FILE = _WrittenFile(new=False)
"""A file to write, or to replace."""
NEW_FILE = _WrittenFile(new=True)
"""A file to write that is not there yet."""
FOLDER = _NamedPath(file_okay=False)
"""A folder, or where one can be made."""
EXISTING_FOLDER = _NamedPath(exists=True, file_okay=False)

config_option = click.option(
    "--config",
    type=PATH,
    envvar=CONFIG_VARIABLE,
    help=f"Settings file (TOML). Default: the one that {CONFIG_VARIABLE} names, or strongroom.toml in the current "
    "folder, if it exists.",
)
data_option = click.option("--data", help="Data folder, which holds everything. Default: ./strongroom-data.")

_SERVE_OPTIONS = (
    click.option("--listen", help="HOST:PORT; port 0 takes a free port. Default: 127.0.0.1:4599."),
    click.option("--region", "regions", multiple=True, help="Region to serve; repeat for more. Default: us-east-1."),
    click.option("--account", help="Account to create at the first start, 12 digits. Default: 000000000000."),
    click.option("--tls-cert", help="Certificate chain (PEM)."),
    click.option("--tls-key", help="Private key of the certificate (PEM)."),
    click.option("--tls-client-ca", help="Authorities (PEM): every client must have a certificate of one of them."),
    click.option(
        "--allow-plaintext",
        is_flag=True,
        default=None,
        help="Allow a listen address that other machines can reach without TLS.",
    ),
    click.option("--workers", type=int, help="Processes that share the port. Default: one for each core."),
    click.option(
        "--durability",
        type=click.Choice(["write", "fsync"]),
        help="What the audit records of answered calls survive: a crash of the process (write) or of the machine "
        "(fsync). Default: write.",
    ),
    click.option(
        "--fips", is_flag=True, default=None, help="Use approved algorithms only, and refuse all others by name."
    ),
    click.option(
        "--metrics-listen", help="HOST:PORT to serve metrics on, without authentication. Default: no metrics."
    ),
)


def serve_options(command: Decorated) -> Decorated:
    """Add the options of ``strongroom serve`` that are settings to a command."""
    for option in reversed(_SERVE_OPTIONS):
        command = option(command)
    return command


def settings_file(config: Path | None) -> Path | None:
    """Return the settings file that is read: the one that was named, or `strongroom.toml` here; None without one."""
    if config is None and _DEFAULT_CONFIG.exists():
        return _DEFAULT_CONFIG
    return config


def read_settings(config: Path | None, options: Mapping[str, str] | None = None, /, **flags: object) -> Settings:
    """Return the settings from the file, the environment and the command line; raises SettingsError.

    ``options`` has those that gave a flag and are not called as the setting is.
    """
    path = config or _DEFAULT_CONFIG
    document = _text_of(path) if config is not None or path.exists() else ""
    return load(document, os.environ, flags, str(path), options or {})


def find_settings(config: Path | None, **flags: object) -> FoundSettings:
    """Return the settings with their sources, and all that is wrong with them; raises OSError."""
    path = config or _DEFAULT_CONFIG
    try:
        document = _text_of(path) if config is not None or path.exists() else ""
    except SettingsError as error:
        found = find("", os.environ, flags, str(path))
        return msgspec.structs.replace(found, mistakes=(Mistake("", str(error)), *found.mistakes))
    return find(document, os.environ, flags, str(path))


def read_public_key(path: Path, option: str) -> AuditPublicKey:
    """Return the public key of an audit log in a file that an option names; raises BadParameter."""
    try:
        return load_audit_public_key(read_regular(path))
    except ValueError:
        raise click.BadParameter(f"`{path}` holds no Ed25519 public key", param_hint=option) from None


def require_account(text: str, option: str) -> None:
    """Refuse what is no account id; ``option`` is what gave it. Raises BadParameter."""
    if not _is(text, Account):
        raise click.BadParameter(f"`{text}` is no account id, which has 12 digits", param_hint=option)


def require_region(text: str, option: str) -> None:
    """Refuse what is no Region's name; ``option`` is what gave it. Raises BadParameter."""
    if not _is(text, Region):
        raise click.BadParameter(f"`{text}` is not a Region such as us-east-1", param_hint=option)


def _is(text: str, kind: object) -> bool:
    try:
        msgspec.convert(text, kind)
    except msgspec.ValidationError:
        return False
    return True


def _text_of(path: Path) -> str:
    """Return the text of a TOML file; raises SettingsError, which names the file, if it is not one."""
    try:
        # /dev/null is the usual way to name an empty file.
        text = "" if path.samefile(os.devnull) else read_regular(path).decode()
        tomllib.loads(text)
    except ValueError as error:
        raise SettingsError(f"`{path}` is not valid TOML: {error}") from None
    return text
