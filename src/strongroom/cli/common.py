"""What commands beside ``serve`` share: settings, the data folder, and errors as a person reads them."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import click

from strongroom.assembly.data_folder import DataFolderError
from strongroom.assembly.deployment import OpenFolder, open_existing
from strongroom.clock import SystemClock
from strongroom.crypto.seal import UnsealError
from strongroom.entropy import system_entropy
from strongroom.settings import Settings, SettingsError, load
from strongroom.store.sqlite.migrate import UnknownSchemaError
from strongroom.store.sqlite.read_only import UnreadableStoreError
from strongroom.supervisor.hardening import harden_process

_DEFAULT_CONFIG = Path("strongroom.toml")

config_option = click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Settings file (TOML). Default: strongroom.toml here, if it exists.",
)
data_option = click.option("--data", help="Folder that holds everything. Default: ./strongroom-data.")


def read_settings(config: Path | None, **flags: object) -> Settings:
    """Return the settings from file, environment and command line; raises SettingsError."""
    path = config or _DEFAULT_CONFIG
    document = path.read_text() if config is not None or path.exists() else ""
    return load(document, os.environ, flags)


@contextmanager
def readable_errors() -> Iterator[None]:
    """Turn what can go wrong with settings and data folder into one line."""
    try:
        yield
    except BrokenPipeError:
        raise  # whoever reads our output has seen enough
    except (SettingsError, DataFolderError, UnsealError, UnknownSchemaError, UnreadableStoreError, OSError) as error:
        raise click.ClickException(str(error)) from None


@contextmanager
def existing_folder(config: Path | None, data: str | None) -> Iterator[tuple[OpenFolder, Settings]]:
    """Open the data folder of a server, whether it runs or not."""
    with readable_errors():
        settings = read_settings(config, data=data)
        harden_process()
        with closing(open_existing(settings, SystemClock(), system_entropy)) as opened:
            yield opened, settings
