"""Lines that a command prints for its user to run: they work in a shell of their own."""

import shlex
import shutil
import sys
from pathlib import Path

from strongroom.cli.options import settings_file

_NAME = "strongroom"


def command_line(*words: str, data: Path, config: Path | None = None) -> str:
    """Return the line that runs a ``strongroom`` command on a data folder, in any folder.

    It has the settings file that was read: ``config``, or else `strongroom.toml` in the current folder.
    """
    options = ["--data", str(data.absolute())]
    read = settings_file(config)
    if read is not None:
        options += ["--config", str(read.absolute())]
    return shlex.join([_program(), *words, *options])


def _program() -> str:
    """Return the name of this program; with its folder if the PATH leads to none, or to another one."""
    own = Path(sys.prefix, "bin", _NAME)
    found = shutil.which(_NAME)
    is_own = found is not None and Path(found).resolve() == own.resolve()
    return _NAME if is_own or not own.exists() else str(own)
