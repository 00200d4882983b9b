"""Which database the settings name."""

from typing import TYPE_CHECKING

from strongroom.assembly.data_folder import DataFolder
from strongroom.assembly.databases.database import Database
from strongroom.assembly.databases.sqlite import SqliteDatabase
from strongroom.clock import Clock
from strongroom.entropy import Entropy
from strongroom.settings import Settings, SettingsError

if TYPE_CHECKING:
    from strongroom.assembly.databases.postgresql import PostgresqlDatabase


def database_of(settings: Settings, clock: Clock, entropy: Entropy) -> Database:
    """Return the database that the settings name, with the data folder; it is not opened yet.

    Raises SettingsError if the address cannot be used, or if the driver of PostgreSQL is not installed.
    """
    if not settings.is_on_postgresql:
        return SqliteDatabase(DataFolder(settings.folder))
    return postgresql_of(settings, clock, entropy)


def postgresql_of(settings: Settings, clock: Clock, entropy: Entropy) -> "PostgresqlDatabase":
    """Return the PostgreSQL database that the settings name; raises SettingsError, also if they name none."""
    if not settings.is_on_postgresql:
        raise SettingsError("`store` does not name a PostgreSQL database (`postgresql://USER@HOST/DATABASE`)")
    try:
        from strongroom.assembly.databases.postgresql import PostgresqlDatabase  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"`store` needs more to be installed: pip install 'strongroom[postgresql]' ({error})"
        ) from None
    return PostgresqlDatabase(settings, clock, entropy)
