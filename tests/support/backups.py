"""Small backups for tests of the format, and what reads them."""

import io
from collections.abc import Sequence

from strongroom.backup.blocks import VERSION, Row, SectionHead, Value
from strongroom.backup.manifest import DomainKeyId, Manifest, SectionSummary, SignedManifest, WriterCheckpoint
from strongroom.backup.reader import BackupReader
from strongroom.backup.writer import Section, write_backup
from strongroom.crypto.audit_key import AuditKey

KEY = AuditKey(bytes(range(32)))
COLUMNS = ("name", "number", "part", "content", "flag", "nothing")
ROWS: list[Row] = [
    ("first", 1, 0.5, b"\x00\xff", True, None),
    ("\N{SNOWMAN}", -(2**63), 1e300, b"", False, None),
]


def manifest_of(summaries: tuple[SectionSummary, ...]) -> Manifest:
    """Return a manifest of some sections."""
    return Manifest(
        format=VERSION,
        release="0.1.0",
        schema="0010",
        deployment="0123456789ab",
        node="a1b2c3d4e5f6",
        at=1_790_000_000.25,
        sections=summaries,
        domain_keys=(DomainKeyId("us-east-1", 1),),
        with_domain_keys=False,
        checkpoints=(WriterCheckpoint("a1b2c3d4e5f6w0", "{}", b"signature", stopped=True),),
    )


def written(sections: Sequence[Section]) -> bytes:
    """Return the bytes of a backup of some sections."""
    return b"".join(write_backup(sections, manifest_of, KEY.sign))


def small_backup() -> bytes:
    """Return a backup with three sections, one of them empty."""
    many: list[Row] = [(f"row {number}",) for number in range(2500)]
    return written(
        [
            Section(SectionHead("things", COLUMNS), ROWS),
            Section(SectionHead("none", ("name",)), []),
            Section(SectionHead("many", ("name",)), many),
        ]
    )


def read_all(content: bytes) -> tuple[dict[str, list[list[Value]]], SignedManifest]:
    """Return the rows of each section and the manifest; raises BackupError."""
    reader = BackupReader(io.BytesIO(content).read)
    found = {section.name: [row for rows in section.batches for row in rows] for section in reader.sections()}
    return found, reader.signed_manifest
