"""The options that several commands have, and the settings that result from them."""

import os
import tomllib
from pathlib import Path

import click

from strongroom.crypto.audit_key import AuditPublicKey, load_audit_public_key
from strongroom.settings import Settings, SettingsError, load

_DEFAULT_CONFIG = Path("strongroom.toml")

config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Settings file (TOML). Default: strongroom.toml in the current folder, if it exists.",
)
data_option = click.option("--data", help="Data folder, which holds everything. Default: ./strongroom-data.")


def read_settings(config: Path | None, **flags: object) -> Settings:
    """Return the settings from the file, the environment and the command line; raises SettingsError."""
    path = config or _DEFAULT_CONFIG
    document = _text_of(path) if config is not None or path.exists() else ""
    return load(document, os.environ, flags)


def read_public_key(path: Path, option: str) -> AuditPublicKey:
    """Return the public key of an audit log in a file that an option names; raises BadParameter."""
    try:
        return load_audit_public_key(path.read_bytes())
    except ValueError:
        raise click.BadParameter(f"`{path}` holds no Ed25519 public key", param_hint=option) from None


def _text_of(path: Path) -> str:
    """Return the text of a TOML file; raises SettingsError, which names the file, if it is not one."""
    try:
        text = path.read_text(encoding="utf-8")
        tomllib.loads(text)
    except ValueError as error:
        raise SettingsError(f"`{path}` is not valid TOML: {error}") from None
    return text
