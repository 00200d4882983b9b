"""A deployment that moves between SQLite and PostgreSQL."""

from contextlib import closing
from pathlib import Path

from msgspec.structs import replace

from audits import command_records
from local_deployment import LocalDeployment, entropy
from strongroom.assembly.databases.postgresql import PostgresqlDatabase
from strongroom.assembly.open_folder import open_existing
from strongroom.assembly.relocation.copying import Copied
from strongroom.assembly.relocation.to_postgresql import MoveToPostgresql
from strongroom.assembly.relocation.to_sqlite import MoveToSqlite
from strongroom.assembly.unsealing import Unsealing
from strongroom.clock import ManualClock
from strongroom.settings import Settings
from strongroom.store.sql.sections import MOVED

NOW = 1_790_000_000.0
Tables = dict[str, list[tuple[object, ...]]]


class Scene:
    """A deployment with keys, its data folder, and an empty PostgreSQL database."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder = folder
        self.clock = ManualClock(NOW)
        deployment = LocalDeployment(folder, self.clock)
        self.key_id = deployment.call("CreateKey", Tags=[{"TagKey": "a", "TagValue": "\u00e9"}])["KeyMetadata"]["KeyId"]
        for number in range(20):
            deployment.call("CreateKey", Description=f"key {number}")
        deployment.call("CreateAlias", AliasName="alias/moved", TargetKeyId=self.key_id)
        grantee = "arn:aws:iam::000000000000:root"
        deployment.call("CreateGrant", KeyId=self.key_id, GranteePrincipal=grantee, Operations=["Encrypt"])
        self.blob = deployment.call("Encrypt", KeyId="alias/moved", Plaintext="c2VjcmV0")["CiphertextBlob"]
        deployment.deployment.close()
        self.address = address
        self.here = deployment.settings
        self.there = replace(self.here, store=address)

    def database(self) -> PostgresqlDatabase:
        return PostgresqlDatabase(self.there, self.clock, entropy)

    def to_postgresql(self, address: str | None = None) -> Copied | None:
        there = replace(self.here, store=address or self.address)
        database = PostgresqlDatabase(there, self.clock, entropy)
        unsealing = Unsealing(self.here, entropy)
        return MoveToPostgresql(self.here, database, unsealing, self.clock, entropy).run(lambda *_: None)

    def to_sqlite(self, folder: Path | None = None) -> Copied | None:
        there = self.there if folder is None else replace(self.there, data=str(folder))
        database = PostgresqlDatabase(there, self.clock, entropy)
        unsealing = Unsealing(there, entropy)
        return MoveToSqlite(there, database, unsealing, self.clock, entropy, lambda _: None).run(lambda *_: None)

    def tables(self, settings: Settings) -> Tables:
        """Return what is in the tables that move, but for what the records of a move add."""
        with closing(open_existing(settings, self.clock, entropy)) as opened, opened.store.read_tables() as tables:
            names = MOVED - {"audit_checkpoint", "database_history"}
            return {
                each.head.name: [tuple(row) for row in tables.rows(each.head.name)]
                for each in tables.tables(MOVED)
                if each.head.name in names
            }

    def moves(self) -> list[str]:
        """Return the events of moves in the audit log."""
        return [
            each["eventName"] for each in command_records(self.folder) if each["eventName"].endswith("DatabaseMove")
        ]
