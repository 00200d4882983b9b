"""The files that point a shell's AWS clients at the server: ``env.sh`` and, for fish, ``env.fish``.

They are written by each start, for the address that it listens on. They must hold in any shell, so they also undo what
a shell may have that the AWS clients would prefer to the settings here: access keys, profiles, roles, other endpoints,
the user's own configuration file, and proxies.
"""

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from strongroom.assembly.data_folder import DataFolder
from strongroom.aws_variables import CLEARED, PROXY_EXCEPTIONS, SERVICES
from strongroom.settings import Settings
from strongroom.settings_sources import CONFIG_VARIABLE
from strongroom.whole_files import replace_file


def write_client_environment(
    settings: Settings, url: str, *, config: Path | None = None, for_commands: bool = True
) -> tuple[Path, Path]:
    """Write both files into the data folder, readable by their owner only; return their paths. Raises OSError.

    ``for_commands`` has the ``strongroom`` commands of the shell use the data folder and the settings file ``config``,
    too.
    """
    folder = DataFolder(settings.folder)
    variables = _variables(settings, folder, url)
    cleared: Sequence[str] = CLEARED
    if for_commands:
        variables["STRONGROOM_DATA"] = str(folder.path.absolute())
        # The settings file of another server does not belong to this one.
        cleared = (*CLEARED, CONFIG_VARIABLE)
    if config is not None:
        variables[CONFIG_VARIABLE] = str(config.absolute())
    direct = _direct(urlsplit(url).hostname or "")
    commands = _commands()
    for path, text in (
        (folder.client_environment, _for_sh(variables, cleared, direct, commands)),
        (folder.client_environment_fish, _for_fish(variables, cleared, direct, commands)),
    ):
        # The next start writes them again, so they need not survive a crash of the machine.
        replace_file(path, text.encode(errors="surrogateescape"), durable=False)
    return folder.client_environment, folder.client_environment_fish


def _variables(settings: Settings, folder: DataFolder, url: str) -> dict[str, str]:
    path = folder.path.absolute()
    region = settings.regions[0]
    return {
        **{f"AWS_ENDPOINT_URL_{service}": url for service in SERVICES},
        "AWS_SHARED_CREDENTIALS_FILE": str(folder.credentials.absolute()),
        # It need not exist: what counts is that it is not the user's own, which may name roles and endpoints.
        "AWS_CONFIG_FILE": str(path / "aws-config"),
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        # A client that finds no access key says so, and asks no other address for one.
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _direct(host: str) -> str:
    """Return the host as an exception from proxies. Clients differ in whether they want brackets around IPv6."""
    return f"{host},[{host}]" if ":" in host else host


def _commands() -> str | None:
    """Return the folder of the commands of this virtual environment; None outside of one."""
    return None if sys.prefix == sys.base_prefix else str(Path(sys.prefix, "bin"))


def _for_sh(variables: Mapping[str, str], cleared: Sequence[str], direct: str, commands: str | None) -> str:
    lines = [
        "# Points the AWS clients of this shell at Strongroom. Read it with the command `.`; written by each start.",
        f"unset {' '.join(cleared)}",
        *(f"export {name}={shlex.quote(value)}" for name, value in variables.items()),
        "no_proxy=${no_proxy:-${NO_PROXY:-}}",
        *(f'export {name}={shlex.quote(direct)}"${{{name}:+,${name}}}"' for name in PROXY_EXCEPTIONS),
    ]
    if commands is not None:
        lines.append(f'export PATH={shlex.quote(commands)}"${{PATH:+:$PATH}}"')
    return "\n".join(lines) + "\n"


def _for_fish(variables: Mapping[str, str], cleared: Sequence[str], direct: str, commands: str | None) -> str:
    lines = [
        "# Points the AWS clients of this fish at Strongroom. Read it with `source`; written by each start.",
        # Erasing would uncover, or erase, universal variables. A global variable that is not exported covers them.
        *(f"set --global --unexport {name}" for name in cleared),
        *(f"set --global --export {name} {fish_quoted(value)}" for name, value in variables.items()),
        "set --query no_proxy[1]; or set --global no_proxy $NO_PROXY",
        *(f"set --global --export {name} (string join , {fish_quoted(direct)} ${name})" for name in PROXY_EXCEPTIONS),
    ]
    if commands is not None:
        lines.append(f"set --global --export PATH {fish_quoted(commands)} $PATH")
    return "\n".join(lines) + "\n"


def fish_quoted(text: str) -> str:
    """Return the text as one word of fish, which takes a backslash between single quotes as an escape."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
