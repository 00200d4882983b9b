"""Damages a stopped data folder, by a flipped bit or a file cut short or removed; finds which rows that has changed."""

import shutil
import sqlite3
from contextlib import closing
from enum import StrEnum
from pathlib import Path

import msgspec
from typing_extensions import override

from campaign import Random

DATABASE = "strongroom.db"


class How(StrEnum):
    """A kind of damage."""

    FLIP = "bit flipped"
    CUT = "file cut short"
    REMOVED = "file removed"
    VALUE = "value changed in a row"


class Value(msgspec.Struct, frozen=True):
    """A value in the database: that of a column, in the row with this number."""

    table: str
    column: str
    row: int


class Damage(msgspec.Struct, frozen=True):
    """What was done to one file, named relative to the folder.

    ``place`` is a bit of the file or of the value, or the new length. ``value`` is the value that was changed.
    """

    how: How
    file: str
    place: int = 0
    value: Value | None = None

    @override
    def __str__(self) -> str:
        where = {How.FLIP: f" at byte {self.place // 8}, bit {self.place % 8}", How.CUT: f" to {self.place} bytes"}
        named = self.file if self.value is None else f"{self.value.table}.{self.value.column}"
        return f"{named}: {self.how}{where.get(self.how, '')}"

    @property
    def kind_of_file(self) -> str:
        """The file, with all segments of the audit log as one; or table and column."""
        if self.value is not None:
            return f"{self.value.table}.{self.value.column}"
        return "audit/*.jsonl" if self.file.startswith("audit/") else self.file


def choose(folder: Path, random: Random, how: How) -> Damage:
    """Choose a damage. Half of all flips fall on any byte of the folder, half on any file: small files count, too."""
    if how is How.VALUE:
        return _choose_value(folder / DATABASE, random)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
    sizes = [path.stat().st_size for path in files]
    chosen = random.choices(files, sizes if random.random() < 0.5 and how is How.FLIP else None)[0]
    size = chosen.stat().st_size
    place = {How.FLIP: random.randrange(8 * size), How.CUT: random.randrange(size)}.get(how, 0)
    return Damage(how, str(chosen.relative_to(folder)), place)


def inflict(folder: Path, damage: Damage) -> None:
    """Do the damage."""
    path = folder / damage.file
    match damage.how:
        case How.VALUE:
            _change_value(path, damage)
        case How.REMOVED:
            path.unlink()
        case How.CUT:
            with path.open("r+b") as file:
                file.truncate(damage.place)
        case How.FLIP:
            content = bytearray(path.read_bytes())
            content[damage.place // 8] ^= 1 << damage.place % 8
            path.write_bytes(content)


def _choose_value(path: Path, random: Random) -> Damage:
    """Choose any bit of any value that is not NULL; each column of each table is as likely as any other."""
    tables = {name: (columns, rows) for name, (columns, rows) in _rows(path).items() if rows}
    columns = [(table, column) for table, (names, _) in sorted(tables.items()) for column in names]
    while True:
        table, column = random.choice(columns)
        names, rows = tables[table]
        row = random.randrange(len(rows))
        size = _size(rows[row][names.index(column)])
        if size:
            return Damage(How.VALUE, DATABASE, random.randrange(size), Value(table, column, row))


def _size(value: object) -> int:
    """Return the number of bits of a value that a change may flip. Of a character of ASCII, it leaves a character."""
    if isinstance(value, bytes):
        return 8 * len(value)
    return 8 if isinstance(value, int | float) else 0


def _change_value(path: Path, damage: Damage) -> None:
    assert damage.value is not None
    table, column, row = damage.value.table, damage.value.column, damage.value.row
    with closing(sqlite3.connect(path)) as database, database:
        database.text_factory = bytes
        rowid, value, kind = database.execute(
            f'SELECT rowid, "{column}", typeof("{column}") FROM "{table}" ORDER BY rowid LIMIT 1 OFFSET {row}'  # noqa: S608 - our tables
        ).fetchone()
        if isinstance(value, bytes):
            content = bytearray(value)
            content[damage.place // 8] ^= 1 << (damage.place % 8) % (5 if kind == b"text" else 8)
            changed: object = content.decode() if kind == b"text" and content.isascii() else bytes(content)
        else:
            changed = int(value) ^ (1 << damage.place)
        # One that is no longer unique stays as it was.
        database.execute(f'UPDATE OR IGNORE "{table}" SET "{column}" = ? WHERE rowid = ?', (changed, rowid))  # noqa: S608 - same


def keep_database(folder: Path, target: Path) -> None:
    """Copy the database and its write-ahead log, before a server changes them."""
    target.mkdir(exist_ok=True)
    for path in folder.glob(f"{DATABASE}*"):
        if not path.name.endswith("-shm"):
            shutil.copy(path, target)


def changed_rows(intact: Path, damaged: Path) -> str:
    """Return which tables and columns of two kept databases differ, or why the damaged one cannot be read."""
    try:
        before, after = _rows(intact / DATABASE), _rows(damaged / DATABASE)
    except sqlite3.Error as error:
        return f"SQLite: {error}"
    told = []
    for table, (columns, rows) in before.items():
        others = set(after.get(table, (columns, []))[1])
        missing, added = [row for row in rows if row not in others], others - set(rows)
        if not missing and not added:
            continue
        pairs = zip(missing, sorted(added, key=repr), strict=False)
        names = {name for old, new in pairs for name, a, b in zip(columns, old, new, strict=True) if a != b}
        told.append(f"{table} ({', '.join(sorted(names)) or 'rows'}): {len(missing)} rows gone, {len(added)} others")
    return "; ".join(told) or "no row"


def integrity(path: Path) -> str:
    """Return what SQLite's integrity check says of a database that no server uses: ``ok``, or the first fault."""
    with closing(sqlite3.connect(path)) as database:
        try:
            return str(database.execute("PRAGMA integrity_check(1)").fetchone()[0])
        except sqlite3.DatabaseError as error:
            return str(error)


def _rows(path: Path) -> dict[str, tuple[list[str], list[tuple[object, ...]]]]:
    """Return the columns and rows of every table."""
    with closing(sqlite3.connect(path)) as database:
        # Text that is not UTF-8 any more is still to be compared.
        database.text_factory = bytes
        names = database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        found = {}
        for (name,) in names:
            cursor = database.execute(f'SELECT * FROM "{name.decode()}" ORDER BY rowid')  # noqa: S608 - names of our own tables
            found[name.decode()] = [column[0] for column in cursor.description], cursor.fetchall()
        return found
